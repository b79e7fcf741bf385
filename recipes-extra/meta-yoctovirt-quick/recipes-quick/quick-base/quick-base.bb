# SPDX-License-Identifier: MIT
SUMMARY = "Root file system skeleton, BusyBox as init, boot scripts"

inherit quick-debs

SRC_URI += " \
    file://applets \
    file://boot \
    file://etc \
    file://getty \
    file://mdev.conf \
    file://network \
"
RDEPENDS:${PN} = "busybox-static kmod"
# For the initramfs
SYSROOT_DIRS = "${bindir}"

do_install:append() {
    for dir in bin sbin lib lib64; do
        install -d ${D}/usr/$dir
        ln -s usr/$dir ${D}/$dir
    done
    install -d ${D}/dev ${D}/proc ${D}/run ${D}/sys ${D}/tmp ${D}/mnt ${D}/srv ${D}/opt \
        ${D}/usr/local/bin ${D}/var/lib ${D}/var/log ${D}/var/cache ${D}/var/spool ${D}/etc/init.d ${D}/etc/boot.d
    install -d -m 0700 ${D}/root ${D}/root/.ssh
    install -d -m 1777 ${D}/var/tmp
    chmod 1777 ${D}/tmp
    ln -s ../run ${D}/var/run
    ln -s ../proc/self/mounts ${D}/etc/mtab

    while read -r path; do
        install -d ${D}/$(dirname $path)
        ln -s /usr/bin/busybox ${D}/$path
    done < ${QUICK_SOURCES}/applets

    cp -r ${QUICK_SOURCES}/etc/. ${D}/etc/
    chown -R root:root ${D}/etc
    chmod 0600 ${D}/etc/shadow
    echo ${MACHINE} > ${D}/etc/hostname
    cat > ${D}/usr/lib/os-release <<-END
	ID=${DISTRO}
	NAME="${DISTRO_NAME}"
	VERSION_ID=${DISTRO_VERSION}
	PRETTY_NAME="${DISTRO_NAME} ${DISTRO_VERSION}, ${LAYERSERIES_CORENAMES}"
	END
    ln -s ../usr/lib/os-release ${D}/etc/os-release
    install -m 0644 ${QUICK_SOURCES}/mdev.conf ${D}/etc/mdev.conf
    install -m 0755 ${QUICK_SOURCES}/boot ${D}/etc/init.d/boot
    install -m 0755 ${QUICK_SOURCES}/network ${D}/etc/init.d/network
    ln -s ../init.d/network ${D}/etc/boot.d/20-network
    install -m 0755 ${QUICK_SOURCES}/getty ${D}/usr/sbin/quick-getty
}

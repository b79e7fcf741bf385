# SPDX-License-Identifier: MIT
SUMMARY = "Debian's cloud kernel as virtual/kernel"

inherit quick-debs deploy

PROVIDES += "virtual/kernel"
PACKAGE_ARCH = "${MACHINE_ARCH}"
RDEPENDS:${PN} = "linux-image-cloud-amd64"

# Loaded by the initramfs: what the root file system may stand on.
QUICK_INITRAMFS_MODULES ?= "virtio_pci virtio_blk virtio_scsi sd_mod"
QUICK_KERNEL = "${WORKDIR}/kernel"

do_install[cleandirs] += "${QUICK_KERNEL}"
do_install:append() {
    release=$(ls ${D}/usr/lib/modules)
    echo $release > ${QUICK_KERNEL}/release
    mv ${D}/boot/vmlinuz-$release ${QUICK_KERNEL}/vmlinuz
    rm ${D}/boot/System.map-$release
    # Debian does this when the package is installed.
    depmod -b ${D}/usr $release
}

python quick_split_packages:append() {
    for name in d.getVar("PACKAGES").split():
        if name.startswith("linux-image-") and name != "linux-image-cloud-amd64":
            d.appendVar("FILES:" + name, " /usr/lib/modules")
}

SYSROOT_PREPROCESS_FUNCS += "quick_stage_modules"
quick_stage_modules() {
    release=$(cat ${QUICK_KERNEL}/release)
    modules=${D}/usr/lib/modules/$release
    stage=${SYSROOT_DESTDIR}${datadir}/quick-initramfs
    install -d $stage
    for name in ${QUICK_INITRAMFS_MODULES}; do
        # <module>: <dependency> <its dependency> ..., so the deepest stands last.
        line=$(grep "/$name\.ko[.a-z]*:" $modules/modules.dep) || continue
        wanted=${line%%:*}
        for one in $wanted ${line#*:}; do
            [ $one = $wanted ] && order=$one || order="$one $order"
        done
        for one in $order; do
            file=$(basename $one)
            [ -e $stage/$file ] && continue
            cp $modules/$one $stage/$file
            echo $file >> $stage/order
        done
    done
}

do_deploy() {
    name=${KERNEL_IMAGETYPE}-$(cat ${QUICK_KERNEL}/release)-${MACHINE}.bin
    install -m 0644 ${QUICK_KERNEL}/vmlinuz ${DEPLOYDIR}/$name
    ln -s $name ${DEPLOYDIR}/${KERNEL_IMAGETYPE}-${MACHINE}.bin
    ln -s $name ${DEPLOYDIR}/${KERNEL_IMAGETYPE}
}
addtask deploy after do_install before do_build

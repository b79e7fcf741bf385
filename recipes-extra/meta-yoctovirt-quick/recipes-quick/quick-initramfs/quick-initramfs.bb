# SPDX-License-Identifier: MIT
SUMMARY = "Initramfs that loads virtio and switches to the root file system"
LICENSE = "MIT & GPL-2.0-only"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

inherit deploy nopackages

SRC_URI = "file://init"
PACKAGE_ARCH = "${MACHINE_ARCH}"
COMPATIBLE_HOST = "x86_64-.*-linux"
INHIBIT_DEFAULT_DEPS = "1"
DEPENDS = "quick-base quick-kernel"

QUICK_SOURCES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${QUICK_SOURCES}"
QUICK_TREE = "${WORKDIR}/initramfs"

do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_install[noexec] = "1"
do_compile[cleandirs] = "${QUICK_TREE}"
do_compile() {
    cd ${QUICK_TREE}
    mkdir -p bin dev proc sys modules root
    cp ${STAGING_BINDIR}/busybox bin/
    for applet in sh mount mkdir insmod sleep switch_root cat sed; do
        ln -s busybox bin/$applet
    done
    cp ${STAGING_DATADIR}/quick-initramfs/* modules/
    install -m 0755 ${QUICK_SOURCES}/init init
    find . -exec touch -h -d @${SOURCE_DATE_EPOCH} {} +
    find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible | gzip -n -9 > ${WORKDIR}/initramfs.cpio.gz
}

do_deploy() {
    install -m 0644 ${WORKDIR}/initramfs.cpio.gz ${DEPLOYDIR}/quick-initramfs-${MACHINE}.cpio.gz
}
addtask deploy after do_compile before do_build

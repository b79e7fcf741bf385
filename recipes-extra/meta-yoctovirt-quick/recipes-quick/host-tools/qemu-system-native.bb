# SPDX-License-Identifier: MIT
SUMMARY = "The build host's QEMU, where runqemu looks for the layers' own"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

inherit native

PV = "1.0"

do_configure[noexec] = "1"
do_compile[noexec] = "1"
do_install() {
    install -d ${D}${bindir}
    # Looked up when it runs, so that it can be shared between hosts.
    cat > ${D}${bindir}/qemu-system-x86_64 <<-'END'
	#!/bin/sh
	exec "${YV_QEMU_SYSTEM_X86_64:-/usr/bin/qemu-system-x86_64}" "$@"
	END
    chmod 0755 ${D}${bindir}/qemu-system-x86_64
}

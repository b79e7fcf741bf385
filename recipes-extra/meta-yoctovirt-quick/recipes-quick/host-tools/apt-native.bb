# SPDX-License-Identifier: MIT
SUMMARY = "Settings with which OE-core's image task calls the build host's apt"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

inherit native

SRC_URI = "file://apt.conf.sample"
PV = "1.0"
QUICK_SOURCES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${QUICK_SOURCES}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"
do_install() {
    install -d ${D}${sysconfdir}/apt
    install -m 0644 ${QUICK_SOURCES}/apt.conf.sample ${D}${sysconfdir}/apt/
}

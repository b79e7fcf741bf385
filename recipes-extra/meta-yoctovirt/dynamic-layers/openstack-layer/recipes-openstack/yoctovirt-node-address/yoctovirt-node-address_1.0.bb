# SPDX-License-Identifier: MIT
SUMMARY = "Gives an OpenStack node the address that its configuration names"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = " \
    file://node-address \
    file://yoctovirt-node-address \
    file://yoctovirt-node-address.service \
"
ADDRESS_SOURCES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${ADDRESS_SOURCES}"

inherit systemd

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${libexecdir}/yoctovirt ${D}${sysconfdir}/yoctovirt ${D}${systemd_system_unitdir}
    install -m 0755 ${ADDRESS_SOURCES}/yoctovirt-node-address ${D}${libexecdir}/yoctovirt
    install -m 0644 ${ADDRESS_SOURCES}/yoctovirt-node-address.service ${D}${systemd_system_unitdir}
    # The mark is replaced when the image is made: the package is one for all nodes.
    sed -e 's:@ADDRESS@:${YOCTOVIRT_ADDRESS_MARK}:' ${ADDRESS_SOURCES}/node-address \
        > ${D}${sysconfdir}/yoctovirt/node-address
    chmod 0644 ${D}${sysconfdir}/yoctovirt/node-address
}

FILES:${PN} += "${libexecdir}/yoctovirt"
CONFFILES:${PN} = "${sysconfdir}/yoctovirt/node-address"
SYSTEMD_SERVICE:${PN} = "yoctovirt-node-address.service"
RDEPENDS:${PN} = "iproute2"

# SPDX-License-Identifier: MIT
FILESEXTRAPATHS:prepend := "${THISDIR}/python-swift:"
SRC_URI += " \
    file://swift-account.service \
    file://swift-container.service \
    file://swift-object.service \
    file://swift-proxy.service \
    file://swift-setup.service \
    file://swift-first-boot \
"

inherit systemd

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${libexecdir}/yoctovirt
    for unit in account container object proxy setup; do
        install -m 0644 ${WORKDIR}/swift-$unit.service ${D}${systemd_system_unitdir}
    done
    install -m 0755 ${WORKDIR}/swift-first-boot ${D}${libexecdir}/yoctovirt
    sed -i -e 's/%CONTROLLER_IP%/${CONTROLLER_IP}/g' -e 's/%ADMIN_PASSWORD%/${ADMIN_PASSWORD}/g' \
        ${D}${sysconfdir}/swift/proxy-server.conf
}

FILES:swift-setup += "${libexecdir}/yoctovirt/swift-first-boot"

# requirements.txt names them, the recipe does not.
RDEPENDS:${PN} += " \
    python3-cryptography \
    python3-lxml \
    python3-pyeclib \
    python3-requests \
    python3-six \
"
# keystonemiddleware: the authtoken filter of our proxy-server.conf
RDEPENDS:swift-setup += "yoctovirt-openstack-setup util-linux-uuidgen python3-keystonemiddleware"

SYSTEMD_PACKAGES = "swift-setup"
SYSTEMD_SERVICE:swift-setup = " \
    swift-setup.service \
    swift-account.service \
    swift-container.service \
    swift-object.service \
    swift-proxy.service \
"

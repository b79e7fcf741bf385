# SPDX-License-Identifier: MIT
# Before the recipe's own folder: our openrc takes the place of one with URLs of API v2.0.
FILESEXTRAPATHS:prepend := "${THISDIR}/python-nova:"
SRC_URI += " \
    file://nova-virt-type \
    file://nova-compute-virt-type.conf \
"

# do_install writes MY_IP into the configuration. The mark is replaced when the image is made.
MY_IP = "${YOCTOVIRT_ADDRESS_MARK}"

do_install:append() {
    # kvm or qemu: found out on the node, before each start of nova-compute.
    install -d ${D}${libexecdir}/yoctovirt ${D}${systemd_system_unitdir}/nova-compute.service.d
    install -m 0755 ${WORKDIR}/nova-virt-type ${D}${libexecdir}/yoctovirt
    install -m 0644 ${WORKDIR}/nova-compute-virt-type.conf \
        ${D}${systemd_system_unitdir}/nova-compute.service.d/50-yoctovirt-virt-type.conf

    # nova-manage calls the database of cell0 <name of the main one>_cell0.
    sed -i -e 's/nova-cell0/nova_cell0/g' \
        -e '/nova-consoleauth/d' ${D}${sysconfdir}/nova/nova-init

    # Zed calls it region_name; os_region_name, which the recipe writes, is ignored.
    sed -i -e '/^\[placement\]/a region_name = RegionOne' ${D}${sysconfdir}/nova/nova.conf
    # Without these nova cannot ask neutron for ports.
    sed -i -e '/^\[neutron\]/a region_name = RegionOne\nauth_type = password\nauth_url = http://${CONTROLLER_IP}:35357\nproject_domain_name = Default\nuser_domain_name = Default\nproject_name = ${SERVICE_TENANT_NAME}\nusername = neutron\npassword = ${ADMIN_PASSWORD}\nservice_metadata_proxy = true\nmetadata_proxy_shared_secret = ${METADATA_SHARED_SECRET}' \
        ${D}${sysconfdir}/nova/nova.conf
}

FILES:nova-compute += " \
    ${libexecdir}/yoctovirt/nova-virt-type \
    ${systemd_system_unitdir}/nova-compute.service.d \
"
RDEPENDS:nova-compute += "python3-core python3-fcntl"

# requirements.txt of nova 26 names them, the recipe does not, and nova does not start without.
RDEPENDS:${PN} += " \
    python3-oslo.limit \
    python3-oslo.upgradecheck \
    python3-os-resource-classes \
"

# Their programs are gone since OpenStack Train (nova-console, nova-consoleauth,
# nova-xvpvncproxy, nova-network), or have nothing to serve (no spice-html5): enabled, they are
# units that fail at every boot.
SYSTEMD_AUTO_ENABLE:nova-console = "disable"
SYSTEMD_AUTO_ENABLE:nova-network = "disable"
SYSTEMD_AUTO_ENABLE:nova-spicehtml5proxy = "disable"

# SPDX-License-Identifier: MIT
FILESEXTRAPATHS:prepend := "${THISDIR}/python-neutron:"
SRC_URI += " \
    file://neutron-l3-agent.service \
    file://neutron-openvswitch-agent.service \
    file://neutron-interface-driver \
    file://yoctovirt-l3-agent.ini \
"

do_install:append() {
    for agent in l3 openvswitch; do
        install -m 0644 ${WORKDIR}/neutron-$agent-agent.service ${D}${systemd_system_unitdir}
    done
    install -d ${D}${libexecdir}/yoctovirt
    install -m 0755 ${WORKDIR}/neutron-interface-driver ${D}${libexecdir}/yoctovirt
    install -m 0640 -g ${GROUP} ${WORKDIR}/yoctovirt-l3-agent.ini \
        ${D}${sysconfdir}/neutron/l3_agent.ini

    # From Zed on neutron-server ends at once with this driver, unless that is set.
    printf '\n[experimental]\nlinuxbridge = true\n' >> ${D}${sysconfdir}/neutron/neutron.conf
    # Without it the server has no routers, and the L3 agent nothing to do.
    sed -i -e 's/^service_plugins =$/service_plugins = router/' ${D}${sysconfdir}/neutron/neutron.conf
    # compute and network have Open vSwitch's agent, and no Linux bridge one.
    sed -i -e 's/^mechanism_drivers = linuxbridge$/mechanism_drivers = linuxbridge,openvswitch/' \
        ${D}${sysconfdir}/neutron/plugins/ml2/ml2_conf.ini
    sed -i -e '/^\[ovs\]/a bridge_mappings = provider:br-provider' \
        -e '/^\[securitygroup\]/a enable_security_group = true\nfirewall_driver = openvswitch' \
        ${D}${sysconfdir}/neutron/plugins/ml2/openvswitch_agent.ini
}

FILES:neutron-l3-agent += "${libexecdir}/yoctovirt/neutron-interface-driver"
RDEPENDS:neutron-l3-agent += "iptables"

# requirements.txt of neutron 21 names them, the recipe does not: os-ken took the place of ryu.
RDEPENDS:${PN} += " \
    python3-oslo.upgradecheck \
    python3-os-ken \
    python3-os-resource-classes \
    python3-os-vif \
    python3-openstacksdk \
    python3-packaging \
    python3-futurist \
    python3-tooz \
    python3-pyopenssl \
"

SYSTEMD_PACKAGES:append = " neutron-plugin-openvswitch neutron-l3-agent"
SYSTEMD_SERVICE:neutron-plugin-openvswitch = "neutron-openvswitch-agent.service"
SYSTEMD_SERVICE:neutron-l3-agent = "neutron-l3-agent.service"

# SPDX-License-Identifier: MIT
# nova-init of meta-openstack registers the endpoint on port 8778, and no recipe there serves it.
SUMMARY = "Placement service of OpenStack: what nova's scheduler asks for resources"
HOMEPAGE = "https://docs.openstack.org/placement/latest/"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "openstack-placement"
# The release of OpenStack Zed
SRC_URI[sha256sum] = "8db46d26c0d011c27cbcb644b24551ab560fb265099ece2d2adc302621434da6"
SRC_URI += " \
    file://placement-api.service \
    file://placement-init.service \
    file://placement-init \
    file://placement.conf \
"

inherit pypi setuptools3 systemd useradd identity hosts

DEPENDS += "python3-pbr-native"
PLACEMENT_SOURCES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system placement"
USERADD_PARAM:${PN} = "--system --home-dir ${localstatedir}/lib/placement --no-create-home --shell /bin/false --gid placement placement"

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${libexecdir}/yoctovirt
    install -m 0644 ${PLACEMENT_SOURCES}/placement-api.service ${D}${systemd_system_unitdir}
    install -m 0644 ${PLACEMENT_SOURCES}/placement-init.service ${D}${systemd_system_unitdir}
    install -m 0755 ${PLACEMENT_SOURCES}/placement-init ${D}${libexecdir}/yoctovirt

    install -d -m 0750 -g placement ${D}${sysconfdir}/placement
    # Has passwords.
    install -m 0640 -g placement ${PLACEMENT_SOURCES}/placement.conf ${D}${sysconfdir}/placement
    sed -i \
        -e 's:@ADMIN_PASSWORD@:${ADMIN_PASSWORD}:' \
        -e 's:@CONTROLLER_IP@:${CONTROLLER_IP}:g' \
        -e 's:@DB_USER@:${DB_USER}:' \
        -e 's:@DB_PASSWORD@:${DB_PASSWORD}:' \
        -e 's:@SERVICE_PROJECT@:${SERVICE_TENANT_NAME}:' \
        ${D}${sysconfdir}/placement/placement.conf
}

FILES:${PN} += "${libexecdir}/yoctovirt ${systemd_system_unitdir}"
CONFFILES:${PN} = "${sysconfdir}/placement/placement.conf"

SYSTEMD_SERVICE:${PN} = "placement-init.service placement-api.service"

# requirements.txt, in its order, and what serves it.
RDEPENDS:${PN} += " \
    python3-pbr \
    python3-sqlalchemy \
    python3-keystonemiddleware \
    python3-routes \
    python3-webob \
    python3-jsonschema \
    python3-requests \
    python3-setuptools \
    python3-oslo.concurrency \
    python3-oslo.config \
    python3-oslo.context \
    python3-oslo.log \
    python3-oslo.serialization \
    python3-oslo.utils \
    python3-oslo.db \
    python3-oslo.policy \
    python3-oslo.middleware \
    python3-oslo.upgradecheck \
    python3-os-resource-classes \
    python3-os-traits \
    python3-microversion-parse \
    python-psycopg2 \
    python3-gunicorn \
    yoctovirt-openstack-setup \
"

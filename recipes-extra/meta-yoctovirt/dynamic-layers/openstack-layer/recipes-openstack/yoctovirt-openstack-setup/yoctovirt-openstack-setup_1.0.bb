# SPDX-License-Identifier: MIT
SUMMARY = "What the first boot of OpenStack services needs: databases, users, services, endpoints"
DESCRIPTION = "meta-openstack registers services in package scripts for sysvinit, which systemd never \
runs. These two commands do it, from units that run once, and as often as is needed."
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = " \
    file://openstack-setup-database \
    file://openstack-setup-identity \
    file://setup.conf \
"
SETUP_SOURCES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${SETUP_SOURCES}"

inherit identity hosts

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${bindir} ${D}${sysconfdir}/yoctovirt
    install -m 0755 ${SETUP_SOURCES}/openstack-setup-database ${D}${bindir}
    install -m 0755 ${SETUP_SOURCES}/openstack-setup-identity ${D}${bindir}
    # Has the administrator's password.
    install -m 0600 ${SETUP_SOURCES}/setup.conf ${D}${sysconfdir}/yoctovirt/openstack-setup.conf
    sed -i \
        -e 's:@ADMIN_PASSWORD@:${ADMIN_PASSWORD}:' \
        -e 's:@ADMIN_ROLE@:${ADMIN_ROLE}:' \
        -e 's:@CONTROLLER_IP@:${CONTROLLER_IP}:' \
        -e 's:@DB_USER@:${DB_USER}:' \
        -e 's:@SERVICE_PROJECT@:${SERVICE_TENANT_NAME}:' \
        ${D}${sysconfdir}/yoctovirt/openstack-setup.conf
}

CONFFILES:${PN} = "${sysconfdir}/yoctovirt/openstack-setup.conf"
# keystone brings /etc/keystone/admin-openrc.
RDEPENDS:${PN} = "keystone postgresql-client python-openstackclient sudo"

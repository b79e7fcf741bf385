# SPDX-License-Identifier: MIT
# ceilometer 19 has two programs, ceilometer-polling and ceilometer-agent-notification; the
# init.d scripts of the recipe start those of 2014 (api, collector, alarm-*), which are gone.
FILESEXTRAPATHS:prepend := "${THISDIR}/python-ceilometer:"
SRC_URI += " \
    file://ceilometer-agent-notification.service \
    file://ceilometer-init.service \
    file://ceilometer-polling-central.service \
    file://ceilometer-polling-compute.service \
    file://pipeline.yaml \
    file://event_pipeline.yaml \
    file://polling.yaml \
"

inherit systemd

do_install:append() {
    install -d ${D}${systemd_system_unitdir}
    for unit in init agent-notification polling-central polling-compute; do
        install -m 0644 ${WORKDIR}/ceilometer-$unit.service ${D}${systemd_system_unitdir}
    done
    for file in pipeline event_pipeline polling; do
        install -m 0644 ${WORKDIR}/$file.yaml ${D}${sysconfdir}/ceilometer
    done
    sed -i -e 's:@ADMIN_PASSWORD@:${ADMIN_PASSWORD}:g' ${D}${sysconfdir}/ceilometer/ceilometer.conf
}

# On both kinds of nodes.
FILES:ceilometer-common += "${bindir}/ceilometer-polling"

# The systemd class takes the init.d scripts away, which is all that these packages have; the
# package groups name them.
ALLOW_EMPTY:ceilometer-api = "1"
ALLOW_EMPTY:ceilometer-collector = "1"
ALLOW_EMPTY:ceilometer-alarm-evaluator = "1"
ALLOW_EMPTY:ceilometer-alarm-notifier = "1"
ALLOW_EMPTY:ceilometer-compute = "1"

# requirements.txt names them, the recipe does not. Left out: gnocchiclient and monascaclient,
# which only their own publishers import; no layer has gnocchi or monasca.
RDEPENDS:${PN} += " \
    python3-cotyledon \
    python3-futurist \
    python3-jsonpath-rw-ext \
    python3-oslo.upgradecheck \
    python3-oslo.cache \
    python3-oslo.privsep \
    python3-oslo.utils \
    python3-keystoneauth1 \
    python-cinderclient \
    python3-stevedore \
    python3-tenacity \
    python3-cachetools \
"
RDEPENDS:ceilometer-setup += "yoctovirt-openstack-setup"

SYSTEMD_PACKAGES = "ceilometer-setup ceilometer-controller ceilometer-agent-notification ceilometer-compute"
SYSTEMD_SERVICE:ceilometer-setup = "ceilometer-init.service"
SYSTEMD_SERVICE:ceilometer-controller = "ceilometer-polling-central.service"
SYSTEMD_SERVICE:ceilometer-agent-notification = "ceilometer-agent-notification.service"
SYSTEMD_SERVICE:ceilometer-compute = "ceilometer-polling-compute.service"

# SPDX-License-Identifier: MIT
# nova-status, neutron-status and placement-status need it, and no layer has a recipe.
SUMMARY = "What the status commands of OpenStack services have in common"
HOMEPAGE = "https://opendev.org/openstack/oslo.upgradecheck"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "oslo.upgradecheck"
SRC_URI[sha256sum] = "f842efeb7cf5fbbf39b569873216bd1f997dfe8af18d3fc3339ea08a38f83268"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-oslo.config \
    python3-oslo.i18n \
    python3-oslo.policy \
    python3-oslo.utils \
    python3-prettytable \
"

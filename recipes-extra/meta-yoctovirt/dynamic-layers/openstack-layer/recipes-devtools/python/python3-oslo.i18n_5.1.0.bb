# SPDX-License-Identifier: MIT
# meta-openstack has 5.0.1; nova 26 and os-brick ask for >= 5.1.0.
SUMMARY = "Translation library of OpenStack"
HOMEPAGE = "https://opendev.org/openstack/oslo.i18n"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=34400b68072d710fecd0a2940a0d1658"

PYPI_PACKAGE = "oslo.i18n"
SRC_URI[sha256sum] = "6bf111a6357d5449640852de4640eae4159b5562bbba4c90febb0034abc095d0"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-pbr \
"

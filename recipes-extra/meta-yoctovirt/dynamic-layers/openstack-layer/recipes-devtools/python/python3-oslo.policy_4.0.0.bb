# SPDX-License-Identifier: MIT
# meta-openstack has 3.3.0; neutron 21 asks for >= 3.12.0, nova 26 and placement for >= 3.7.0.
SUMMARY = "Policy library of OpenStack"
HOMEPAGE = "https://opendev.org/openstack/oslo.policy"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "oslo.policy"
SRC_URI[sha256sum] = "1a51d241dbeea1f5091cd4aaca4240da7bbec0c71bf870221fc72dfff4862349"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-oslo.config \
    python3-oslo.context \
    python3-oslo.i18n \
    python3-oslo.serialization \
    python3-oslo.utils \
    python3-pyyaml \
    python3-requests \
    python3-stevedore \
"

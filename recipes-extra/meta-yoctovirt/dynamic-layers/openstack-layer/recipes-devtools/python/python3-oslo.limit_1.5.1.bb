# SPDX-License-Identifier: MIT
# nova 26 imports it, and no layer has a recipe.
SUMMARY = "Unified limits of OpenStack"
HOMEPAGE = "https://opendev.org/openstack/oslo.limit"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "oslo.limit"
SRC_URI[sha256sum] = "9ced049f33d8470aa8b5f45274692713e95ed99b7cb825fb6220770e04b2319d"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-keystoneauth1 \
    python3-oslo.config \
    python3-oslo.i18n \
    python3-oslo.log \
    python3-openstacksdk \
"

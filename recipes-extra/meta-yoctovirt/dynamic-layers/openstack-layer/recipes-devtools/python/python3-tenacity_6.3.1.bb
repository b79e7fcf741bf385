# SPDX-License-Identifier: MIT
# meta-openstack has 6.2.0; os-brick and ceilometer 19 ask for >= 6.3.1, ceilometer for < 7.
SUMMARY = "Retrying of calls"
HOMEPAGE = "https://github.com/jd/tenacity"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=175792518e4ac015ab6696d16c4f607e"

PYPI_PACKAGE = "tenacity"
SRC_URI[sha256sum] = "e14d191fb0a309b563904bbc336582efe2037de437e543b38da749769b544d7f"

inherit pypi setuptools3

DEPENDS += "python3-setuptools-scm-native"

RDEPENDS:${PN} += " \
    python3-six \
"

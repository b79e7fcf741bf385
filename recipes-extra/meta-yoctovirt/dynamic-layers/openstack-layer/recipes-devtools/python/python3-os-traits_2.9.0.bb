# SPDX-License-Identifier: MIT
# meta-openstack has 2.4.0; nova 26 asks for >= 2.9.0 and names traits that are younger than
# 2.4.
SUMMARY = "Names of the traits of OpenStack placement"
HOMEPAGE = "https://opendev.org/openstack/os-traits"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "os-traits"
SRC_URI[sha256sum] = "1ccc8be569157d4a6a72c03f842fb64f7571bf4c85798837af29fc11a11ea100"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-pbr \
"

# SPDX-License-Identifier: MIT
# nova, neutron and placement import it, and no layer has a recipe.
SUMMARY = "Names of the resource classes of OpenStack placement"
HOMEPAGE = "https://opendev.org/openstack/os-resource-classes"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "os-resource-classes"
SRC_URI[sha256sum] = "e0bcbb8961a9fe33b7213734c51c001812890e2be62101c9279c88b72f75f9eb"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-pbr \
"

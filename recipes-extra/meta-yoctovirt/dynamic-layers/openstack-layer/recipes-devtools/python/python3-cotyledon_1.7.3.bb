# SPDX-License-Identifier: MIT
# ceilometer 19 imports it, and no layer has a recipe.
SUMMARY = "Framework for long running services"
HOMEPAGE = "https://github.com/sileht/cotyledon"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "cotyledon"
SRC_URI[sha256sum] = "aa44f492e536b3b03f791aa5a483008eb070476c4c2b7994d7be20e92e22396b"

inherit pypi setuptools3

DEPENDS += "python3-setuptools-scm-native"

RDEPENDS:${PN} += " \
    python3-setproctitle \
"

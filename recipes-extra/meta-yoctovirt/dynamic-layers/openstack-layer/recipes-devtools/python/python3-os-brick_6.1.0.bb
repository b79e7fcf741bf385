# SPDX-License-Identifier: MIT
# meta-openstack has 4.0.1; nova 26 asks for >= 5.2. Its recipe there cannot be parsed by
# scarthgap, either.
SUMMARY = "Local attachment of volumes for cinder and nova"
HOMEPAGE = "https://opendev.org/openstack/os-brick"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "os-brick"
SRC_URI[sha256sum] = "b3fbd2f3fd2f05ed5ab6259bf8a89465412014b75157b437121fda42c3532aae"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-eventlet \
    python3-oslo.concurrency \
    python3-oslo.config \
    python3-oslo.context \
    python3-oslo.i18n \
    python3-oslo.log \
    python3-oslo.privsep \
    python3-oslo.serialization \
    python3-oslo.service \
    python3-oslo.utils \
    python3-os-win \
    python3-pbr \
    python3-requests \
    python3-tenacity \
"

# SPDX-License-Identifier: MIT
# meta-openstack has 2.4.0; nova 26 asks for >= 2.6.2.
SUMMARY = "Privilege separation of OpenStack"
HOMEPAGE = "https://opendev.org/openstack/oslo.privsep"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "oslo.privsep"
SRC_URI[sha256sum] = "c50977470b09a4016254dadc274837673604bd07b23b9d77a00769c47a0b05e4"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-cffi \
    python3-eventlet \
    python3-greenlet \
    python3-msgpack \
    python3-oslo.config \
    python3-oslo.i18n \
    python3-oslo.log \
    python3-oslo.utils \
"

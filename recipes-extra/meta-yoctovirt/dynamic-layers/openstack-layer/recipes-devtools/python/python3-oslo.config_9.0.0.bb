# SPDX-License-Identifier: MIT
# meta-openstack has 8.4.0; nova 26 and ceilometer ask for >= 8.6.0.
SUMMARY = "Configuration library of OpenStack"
HOMEPAGE = "https://opendev.org/openstack/oslo.config"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=c46f31914956e4579f9b488e71415ac8"

PYPI_PACKAGE = "oslo.config"
SRC_URI[sha256sum] = "3b6b63c43cf1e09344ba850bcb11d6f2b9201086fbeb0a97a8950e7eac3f2645"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-debtcollector \
    python3-netaddr \
    python3-oslo.i18n \
    python3-pyyaml \
    python3-requests \
    python3-rfc3986 \
    python3-stevedore \
"

# SPDX-License-Identifier: MIT
# meta-openstack has 0.5.19; neutron 21 asks for >= 0.6.6.
SUMMARY = "Netlink library"
HOMEPAGE = "https://github.com/svinota/pyroute2"
LICENSE = "Apache-2.0 | GPL-2.0-or-later"
LIC_FILES_CHKSUM = " \
    file://LICENSE.Apache-2.0;md5=34281e312165f843a2b7d1f114fe65ce \
    file://LICENSE.GPL-2.0-or-later;md5=b234ee4d69f5fce4486a80fdaf4a4263 \
"

PYPI_PACKAGE = "pyroute2"
SRC_URI[sha256sum] = "7041040db1c2d187fbccd151485b1244c41d758be821785847946370eb6bb706"

inherit pypi python_setuptools_build_meta

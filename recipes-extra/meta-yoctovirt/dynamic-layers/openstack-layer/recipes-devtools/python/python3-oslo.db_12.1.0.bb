# SPDX-License-Identifier: MIT
# meta-openstack has 8.4.0; nova 26 asks for >= 10.0.0, placement for >= 8.6.0.
SUMMARY = "Database library of OpenStack"
HOMEPAGE = "https://opendev.org/openstack/oslo.db"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=34400b68072d710fecd0a2940a0d1658"

PYPI_PACKAGE = "oslo.db"
SRC_URI[sha256sum] = "35e9056b5f6de77ee532595df025fa886e2ab2dc48378bf5d6f4e86dd37cbf76"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-alembic \
    python3-debtcollector \
    python3-oslo.config \
    python3-oslo.i18n \
    python3-oslo.utils \
    python3-pbr \
    python3-sqlalchemy \
    python3-sqlalchemy-migrate \
    python3-stevedore \
    python3-testresources \
    python3-testscenarios \
"

# SPDX-License-Identifier: MIT
# In place of meta-openstack's recipe, whose last variable has no closing quote: kirkstone's
# bitbake lets that pass, scarthgap's does not. The same version.
SUMMARY = "Local volume attaches for cinder and nova"
HOMEPAGE = "https://opendev.org/openstack/os-brick"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

SRC_URI = "git://github.com/openstack/os-brick.git;branch=stable/victoria;protocol=https"
SRCREV = "f0cf77672fed70f20896c23015cb50341f311f38"
S = "${WORKDIR}/git"

inherit setuptools3

DEPENDS += "python3-pbr-native"
# As the recipe that it replaces.
RDEPENDS:${PN} += " \
    python3-babel \
    python3-eventlet \
    python3-os-win \
    python3-oslo.concurrency \
    python3-oslo.i18n \
    python3-oslo.log \
    python3-oslo.privsep \
    python3-oslo.serialization \
    python3-oslo.service \
    python3-oslo.utils \
    python3-pbr \
    python3-requests \
    python3-retrying \
    python3-six \
"

FILES:${PN} += "${prefix}/etc/os-brick ${datadir}/etc"

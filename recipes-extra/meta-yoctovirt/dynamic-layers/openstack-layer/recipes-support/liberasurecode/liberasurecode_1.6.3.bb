# SPDX-License-Identifier: MIT
# For python3-pyeclib, without which swift does not start; no layer has a recipe.
SUMMARY = "Erasure code library with interchangeable backends"
HOMEPAGE = "https://opendev.org/openstack/liberasurecode"
LICENSE = "BSD-2-Clause"
LIC_FILES_CHKSUM = "file://COPYING;md5=7a672baf4e0f4a8f45aba1b1fa4937a9"

SRC_URI = "git://github.com/openstack/liberasurecode.git;branch=master;protocol=https"
# The tag 1.6.3
SRCREV = "f592409bccc9d3043becfaccc5a3254a9452eb72"
S = "${WORKDIR}/git"

inherit autotools pkgconfig

# autoconf-archive: the macro AX_EXT
DEPENDS = "autoconf-archive-native zlib"
# Without flags for the build host's CPU.
EXTRA_OECONF = "--disable-mmi --disable-werror"

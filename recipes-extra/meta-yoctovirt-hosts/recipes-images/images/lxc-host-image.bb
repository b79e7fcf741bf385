# SPDX-License-Identifier: MIT
SUMMARY = "LXC host with its templates"
LICENSE = "MIT"

inherit core-image

# No locale but C, as core-image-minimal.
IMAGE_LINGUAS = " "

IMAGE_INSTALL = "packagegroup-core-boot ${CORE_IMAGE_EXTRA_INSTALL} \
    lxc lxc-templates lxc-networking \
    kernel-modules \
"

# SPDX-License-Identifier: MIT
SUMMARY = "Docker host"
LICENSE = "MIT"

inherit core-image

# No locale but C, as core-image-minimal.
IMAGE_LINGUAS = " "

# Not packagegroup-docker: in kirkstone and scarthgap its recipe is one for all container
# packages, so that it builds LXC, podman and the OCI tools, too. kernel-modules: docker's recipe
# recommends only a part of what bridges, overlay and NAT need.
IMAGE_INSTALL = "packagegroup-core-boot ${CORE_IMAGE_EXTRA_INSTALL} docker kernel-modules"

# SPDX-License-Identifier: MIT
SUMMARY = "Virtualization host of prebuilt packages: BusyBox, OpenSSH, Docker"
LICENSE = "MIT"

# No packagegroup-core-boot, whose packages come from source.
IMAGE_INSTALL = "quick-base quick-kernel quick-ssh quick-docker"
# Room for container images and logs, in KiB.
IMAGE_ROOTFS_EXTRA_SPACE = "524288"

# There is no toolchain that an SDK could be made of.
IMGCLASSES:remove = "populate_sdk_ext"
IMGCLASSES:append = " populate_sdk_base"
inherit core-image
deltask do_populate_sdk
# No package has scripts for the first boot.
ROOTFS_BOOTSTRAP_INSTALL = ""

do_build[depends] += "quick-initramfs:do_deploy"

# apt.conf.sample of apt-native has apt's cache here.
DEB_PREPROCESS_COMMANDS = "quick_apt_folders"
quick_apt_folders() {
    mkdir -p ${APTCONF_TARGET}/apt/cache/archives/partial ${APTCONF_TARGET}/apt/state ${APTCONF_TARGET}/apt/log
}

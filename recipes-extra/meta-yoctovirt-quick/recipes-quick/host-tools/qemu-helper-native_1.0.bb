# SPDX-License-Identifier: MIT
SUMMARY = "The native sysroot that qemuboot.conf names; version 1.0 is part of that name"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

inherit native

DEPENDS = "qemu-system-native"

do_configure[noexec] = "1"
do_compile[noexec] = "1"
do_install[noexec] = "1"
addtask addto_recipe_sysroot after do_populate_sysroot before do_build

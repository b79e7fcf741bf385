# SPDX-License-Identifier: MIT
SUMMARY = "Stands for the build host's pseudo (FAKEROOTCMD in the distro's configuration)"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

inherit native

# Setscene tasks name it, so ASSUME_PROVIDED cannot.
PROVIDES += "virtual/fakeroot-native"
PV = "1.0"

do_configure[noexec] = "1"
do_compile[noexec] = "1"
do_install[noexec] = "1"

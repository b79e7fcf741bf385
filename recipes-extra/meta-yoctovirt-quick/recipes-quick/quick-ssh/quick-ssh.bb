# SPDX-License-Identifier: MIT
SUMMARY = "OpenSSH server, its settings and its boot script"

inherit quick-debs

SRC_URI += "file://sshd file://sshd_config"
RDEPENDS:${PN} = "quick-base openssh-server openssh-sftp-server"

do_install:append() {
    install -d ${D}/etc/init.d ${D}/etc/boot.d ${D}/etc/ssh
    install -m 0644 ${QUICK_SOURCES}/sshd_config ${D}/etc/ssh/sshd_config
    install -m 0755 ${QUICK_SOURCES}/sshd ${D}/etc/init.d/sshd
    ln -s ../init.d/sshd ${D}/etc/boot.d/50-sshd
}

# SPDX-License-Identifier: MIT
SUMMARY = "Docker, its settings and its boot script"

inherit quick-debs

SRC_URI += "file://docker file://daemon.json"
RDEPENDS:${PN} = "quick-base quick-ssh containerd docker.io iptables runc"

do_install:append() {
    install -d ${D}/etc/init.d ${D}/etc/boot.d ${D}/etc/docker ${D}/var/lib/docker
    install -m 0755 ${QUICK_SOURCES}/docker ${D}/etc/init.d/docker
    ln -s ../init.d/docker ${D}/etc/boot.d/60-docker
    install -m 0644 ${QUICK_SOURCES}/daemon.json ${D}/etc/docker/daemon.json
    # Debian does this by update-alternatives.
    for family in iptables ip6tables; do
        for suffix in "" -save -restore; do
            ln -s $family-nft$suffix ${D}/usr/sbin/$family$suffix
        done
    done
}

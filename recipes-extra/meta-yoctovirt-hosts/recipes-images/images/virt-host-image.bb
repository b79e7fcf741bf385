# SPDX-License-Identifier: MIT
SUMMARY = "Docker, LXC, libvirt over QEMU/KVM, Open vSwitch, CRIU and irqbalance on one host"
LICENSE = "MIT"

inherit core-image

# No locale but C, as core-image-minimal.
IMAGE_LINGUAS = " "

# Single packages, no packagegroup: see docker-host-image.bb.
IMAGE_INSTALL = "packagegroup-core-boot ${CORE_IMAGE_EXTRA_INSTALL} \
    docker \
    lxc lxc-templates lxc-networking \
    qemu libvirt libvirt-libvirtd libvirt-virsh \
    openvswitch openvswitch-switch \
    criu irqbalance \
    kernel-modules \
"

# Room for guests' and containers' images (KiB), and runqemu's memory.
IMAGE_ROOTFS_EXTRA_SPACE = "4194304"
QB_MEM = "-m 4096"

# SPDX-License-Identifier: MIT
SUMMARY = "What yoctovirt's smoke suites call on a node"
LICENSE = "MIT"

# The same for every machine of an architecture, as are its packages.
inherit packagegroup

# coreutils, grep, sed: in BusyBox, which every image has.
#   curl         published ports of containers, OpenStack APIs, with an exit code for each failure
#   ethtool      offloads and queues of virtual NICs
#   iproute2     network namespaces, veth, bridges, VLANs (BusyBox's ip knows none of them)
#   iptables     forwarding and NAT of containers, dropped packets
#   iputils      ping with a deadline and an interface
#   kmod         modprobe and modinfo of compressed modules
#   procps       ps and pgrep with the options of POSIX, sysctl
#   python3      small servers and clients, ioctl on /dev/kvm
#   tcpdump      what really goes over a bridge or tunnel
#   util-linux   unshare, nsenter, losetup, taskset, lsblk, findmnt, flock
RDEPENDS:${PN} = " \
    curl \
    ethtool \
    iproute2 \
    iproute2-ss \
    iproute2-tc \
    iptables \
    iputils-ping \
    kmod \
    procps \
    python3-core \
    python3-fcntl \
    python3-io \
    python3-json \
    python3-netclient \
    python3-netserver \
    tcpdump \
    util-linux \
"
# With the QEMU machines' kernels, where it is a module.
RRECOMMENDS:${PN} = "kernel-module-veth kernel-module-bridge kernel-module-tun kernel-module-8021q kernel-module-vxlan"

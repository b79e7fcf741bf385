#!/bin/sh
# packages.sh ROOT PACKAGE... : install packages into the overlay that is mounted at ROOT.
# Runs in mount and process namespaces of its own: its mounts, and the daemons that a package
# starts in spite of policy-rc.d, end with it.
set -eu
root=$1
shift
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
in_root() {
    chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
}
in_root debconf-set-selections
in_root apt-get update -qq
in_root apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
in_root apt-get clean
rm -rf "$root"/usr/sbin/policy-rc.d "$root"/etc/resolv.conf "$root"/var/lib/apt/lists/*
# A node starts what its setup enables, and nothing that a package has enabled by itself.
for link in "$root"/etc/systemd/system/*.wants/*; do
    case ${link##*/} in
    ssh.service | systemd-* | dbus* | getty* | *\*) ;;
    *) rm -f "$link" ;;
    esac
done

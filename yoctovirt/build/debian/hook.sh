#!/bin/sh
# Runs as root of mmdebstrap's user namespace, outside of the chroot, which is $1. What it
# reads and writes comes by descriptor: as a normal user this "root" may not enter the
# caller's home.
#   YV_IN   tar of files to lay over the tree      YV_IMAGE  the ext4 image, already sized
#   YV_OUT  tar of kernel, initrd, manifest        YV_ENABLE, YV_DISABLE, YV_MASK  units
#   YV_MODULES  modules for the initrd
set -eu
root=$1
tar -xf "/proc/self/fd/$YV_IN" -C "$root"

echo "I: yoctovirt: configuring"
chroot "$root" passwd -d root >/dev/null
chroot "$root" usermod -s /bin/bash root
# Each node gets an id of its own at its first boot: none from here, and not by way of D-Bus.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
# Units that a package does not ship are no error: releases differ.
for unit in $YV_ENABLE; do
    if [ -e "$root/lib/systemd/system/$unit" ] || [ -e "$root/usr/lib/systemd/system/$unit" ]; then
        chroot "$root" systemctl --quiet enable "$unit"
    fi
done
for unit in $YV_DISABLE; do
    chroot "$root" systemctl --quiet disable "$unit" 2>/dev/null || true
done
for unit in $YV_MASK; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

echo "I: yoctovirt: making the initrd"
release=$(ls "$root/lib/modules" | sort -V | tail -n 1)
modules=$root/lib/modules/$release
work=$(mktemp -d "$root/tmp/yoctovirt.XXXXXX")
mkdir -p "$work/initrd/bin" "$work/initrd/dev" "$work/initrd/proc" "$work/initrd/sys" \
    "$work/initrd/modules" "$work/initrd/newroot" "$work/out"
cp "$root/bin/busybox" "$work/initrd/bin/busybox"
cp "$root/usr/lib/yoctovirt/initrd-init" "$work/initrd/init"
chmod 755 "$work/initrd/init"
# modprobe names each module with what it needs before it, in the order of insertion.
for name in $YV_MODULES; do
    chroot "$root" modprobe --set-version "$release" --show-depends "$name" 2>/dev/null || true
done | while read -r verb path rest; do
    [ "$verb" = insmod ] || continue
    base=${path##*/}
    [ -e "$work/initrd/modules/$base" ] && continue
    cp "$root$path" "$work/initrd/modules/$base"
    echo "$base" >>"$work/initrd/modules/order"
done
touch "$work/initrd/modules/order"
in_chroot=${work#"$root"}
chroot "$root" sh -c "cd $in_chroot/initrd && find . | cpio --quiet -o -H newc" >"$work/out/initrd"
kernel=$(ls "$root"/boot/vmlinuz-* | sort -V | tail -n 1)
cp "$kernel" "$work/out/kernel"
chroot "$root" dpkg-query -W -f '${binary:Package} ${Architecture} ${Version}\n' >"$work/out/manifest"
echo "$release" >"$work/out/kernel-release"
# Where a hypervisor is installed: QEMU's loader wants it unpacked.
for hypervisor in "$root"/boot/xen-*.gz; do
    if [ -e "$hypervisor" ]; then gzip -dc "$hypervisor" >"$work/out/xen"; fi
done
tar -cf "/proc/self/fd/$YV_OUT" -C "$work/out" $(ls "$work/out")
rm -rf "$work"

echo "I: yoctovirt: packing the root file system"
rm -rf "$root"/boot/initrd.img* "$root"/var/log/apt "$root"/var/log/dpkg.log
# mmdebstrap still needs what it has in /tmp and apt's folders (without its apt.conf there
# it would clean the host's lists), and the image does not: empty file systems hide them.
# A bind mount of the tree on itself shows it without what mmdebstrap has mounted in it.
# In a chroot whose root is no mount point, unshare cannot make its mounts private.
isolated="unshare --mount"
$isolated true 2>/dev/null || isolated="unshare --mount --propagation unchanged"
$isolated sh -eu -c '
    mount --bind "$1" "$1"
    cd /
    mount --make-private "$1"
    mount -t tmpfs -o mode=1777 none "$1/tmp"
    for folder in var/lib/apt/lists var/cache/apt; do
        mount -t tmpfs -o mode=755 none "$1/$folder"
    done
    status=0
    mke2fs -q -F -t ext4 -m 0 -L root -O "^has_journal" -E root_owner=0:0,lazy_itable_init=1 \
        -d "$1" "/proc/self/fd/$2" || status=$?
    umount "$1/tmp" "$1/var/lib/apt/lists" "$1/var/cache/apt"
    umount "$1"
    exit $status
' pack "$root" "$YV_IMAGE"

#!/bin/busybox sh
# The smallest way from the kernel to the root file system: no udev, no shell to fall into.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do
    case $module in
    *.xz | *.zst | *.gz) modprobe_file=/modules/${module%.*}; unxz -c "/modules/$module" >"$modprobe_file" 2>/dev/null || gunzip -c "/modules/$module" >"$modprobe_file" ;;
    *) modprobe_file=/modules/$module ;;
    esac
    insmod "$modprobe_file" || echo "initrd: insmod $module failed" >/dev/console
done </modules/order

root= init=/sbin/init mode=rw
for word in $(cat /proc/cmdline); do
    case $word in
    root=*) root=${word#root=} ;;
    init=*) init=${word#init=} ;;
    ro | rw) mode=$word ;;
    esac
done
tries=0
while [ ! -b "$root" ] && [ $tries -lt 100 ]; do
    usleep 100000
    tries=$((tries + 1))
done
if ! mount -o "$mode" "$root" /newroot; then
    echo "initrd: VFS: Unable to mount root fs on $root" >/dev/console
    sleep 1 # a panic does not wait for what a terminal has yet to say: the line would be torn
    echo c >/proc/sysrq-trigger # a panic is an answer; a shell that nobody sees is none
fi
mount -o move /dev /newroot/dev
mount -o move /proc /newroot/proc
mount -o move /sys /newroot/sys
exec switch_root /newroot "$init"

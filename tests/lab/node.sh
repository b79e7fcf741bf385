#!/bin/sh
# node.sh NAME ROOT ADDRESS HOSTS : make ROOT, a mounted overlay, the root of this process' new
# namespaces, wait for its network card, and start systemd. Started by inside.py.
set -eu
name=$1 root=$2 address=$3 hosts=$4
mount --make-rprivate /
mount --bind "$root" "$root"
printf '127.0.0.1 localhost\n%s' "$hosts" >"$root/etc/hosts"
echo "$name" >"$root/etc/hostname"
hostname "$name"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/dev/pts" "$root/dev/shm" "$root/dev/net" "$root/dev/mqueue"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mknod "$root/dev/net/tun" c 10 200
mknod "$root/dev/fuse" c 10 229
mknod "$root/dev/loop-control" c 10 237
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
ip link set lo up
turns=0
until ip link show eth0 >/dev/null 2>&1; do
    turns=$((turns + 1))
    [ $turns -lt 300 ] || { echo "no network card within 30 s" >&2; exit 1; }
    sleep 0.1
done
ip addr add "$address/24" dev eth0
ip link set eth0 up
cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec env -i container=yoctovirt PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /lib/systemd/systemd

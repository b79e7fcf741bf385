# The peer of smoke.py: what a person would type into a node to see Docker, LXC, Open vSwitch,
# CRIU, irqbalance, libvirt and KVM work, one thing after the other. Runs on the node, ends with 1
# at the first thing that does not work; each operation's seconds are shown.
set -eu
W=$(mktemp -d)
cd "$W"

step() {
    name=$1
    shift
    begin=$(date +%s%N)
    "$@" >"$W/out" 2>&1 </dev/null || { echo "FAILED: $name"; cat "$W/out"; exit 1; }
    printf '%6.1f s  %s\n' "$((($(date +%s%N) - begin) / 100000000))e-1" "$name"
}

fails() { if "$@"; then return 1; fi; }

# A tree of BusyBox for containers, an initramfs for guests.
mkdir -p tree/bin tree/proc tree/sys tree/dev
cp "$(command -v busybox)" tree/bin/busybox
for applet in sh echo ls ping ip sleep cat hostname mount uname dmesg grep poweroff reboot; do
    ln -s busybox "tree/bin/$applet"
done
cat >tree/init <<'END'
#!/bin/sh
mount -t proc proc /proc
echo "guest says hello"
dmesg | grep 'Hypervisor detected'
reboot -f
END
chmod +x tree/init
(cd tree && find . | busybox cpio -o -H newc 2>/dev/null) >initramfs
KERNEL=$(ls /boot/vmlinuz-* | head -n 1)

# Docker
step "docker: answers" docker info
step "docker: image" sh -c 'tar -C tree -c . | docker import - plain:1'
step "docker: run without a network" docker run --rm --network none plain:1 /bin/echo hello
GATEWAY=$(ip -4 -o addr show docker0 | sed 's/.*inet \([0-9.]*\).*/\1/')
step "docker: run on the bridge" docker run --rm plain:1 /bin/ping -c 1 -w 5 "$GATEWAY"
step "docker: start" docker run -d --name plain plain:1 /bin/sleep 1000
step "docker: exec" docker exec plain /bin/hostname
step "docker: remove" docker rm -f plain
step "docker: remove the image" docker rmi plain:1

# LXC
step "lxc: bridge" systemctl start lxc-net
step "lxc: create" lxc-create -n plain -t busybox
step "lxc: start" lxc-start -n plain
step "lxc: wait" lxc-wait -n plain -s RUNNING -t 20
step "lxc: info" lxc-info -n plain
step "lxc: attach" lxc-attach -n plain -- /bin/uname -a
step "lxc: exit status" sh -c 'lxc-attach -n plain -- /bin/sh -c "exit 7"; [ $? = 7 ]'
step "lxc: stop" lxc-stop -n plain -k
step "lxc: destroy" lxc-destroy -n plain

# Open vSwitch
step "ovs: bridge" ovs-vsctl add-br plain0
for host in 1 2; do
    ip netns add "plain$host"
    ip link add "plain-v$host" type veth peer name e0 netns "plain$host"
    ip link set "plain-v$host" up
    ip -n "plain$host" addr add "10.9.0.$host/24" dev e0
    ip -n "plain$host" link set e0 up
    ovs-vsctl add-port plain0 "plain-v$host"
done
PING="ip netns exec plain1 ping -c 1"
step "ovs: ping" $PING -w 5 10.9.0.2
step "ovs: drop" ovs-ofctl add-flow plain0 priority=100,icmp,actions=drop
step "ovs: no ping" fails $PING -w 3 10.9.0.2
step "ovs: no drop" ovs-ofctl del-flows plain0 icmp
step "ovs: ping again" $PING -w 5 10.9.0.2
step "ovs: no flows" ovs-ofctl del-flows plain0
step "ovs: learn" ovs-ofctl add-flow plain0 'table=0,priority=1,actions=learn(table=1,hard_timeout=300,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)'
step "ovs: flood" ovs-ofctl add-flow plain0 'table=1,priority=0,actions=flood'
step "ovs: ping of a learning switch" $PING -w 5 10.9.0.2
step "ovs: flows" sh -c 'ovs-ofctl dump-flows plain0 table=1 | grep dl_dst'
step "ovs: remove" ovs-vsctl del-br plain0
ip netns del plain1
ip netns del plain2

# CRIU
step "criu: check" criu check
cat >counter <<'END'
#!/bin/busybox sh
n=0
while true; do n=$((n + 1)); echo $n >count; sleep 1; done
END
chmod +x counter
setsid ./counter </dev/null >/dev/null 2>&1 &
sleep 3
PID=$(pgrep -f ./counter | head -n 1)
mkdir images
step "criu: dump" criu dump -t "$PID" -D images --shell-job
before=$(cat count)
sleep 3
[ "$(cat count)" = "$before" ] || { echo "FAILED: it counts on"; exit 1; }
step "criu: restore" criu restore -d -D images --shell-job
sleep 3
[ "$(cat count)" -gt "$before" ] || { echo "FAILED: it stands still"; exit 1; }
pkill -f ./counter

# irqbalance
step "irqbalance: runs" pidof irqbalance
step "irqbalance: once" irqbalance --oneshot --debug

# libvirt
mkdir -m 755 /srv/plain
install -m 644 initramfs /srv/plain/initramfs
cat >domain.xml <<END
<domain type='qemu'><name>plain</name><memory unit='MiB'>192</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>$KERNEL</kernel>
<initrd>/srv/plain/initramfs</initrd><cmdline>console=ttyS0 quiet</cmdline></os>
<on_reboot>destroy</on_reboot>
<devices><serial type='file'><source path='/srv/plain/log'/></serial></devices></domain>
END
step "libvirt: answers" virsh -c qemu:///system version
step "libvirt: define" virsh -c qemu:///system define domain.xml
step "libvirt: start" virsh -c qemu:///system start plain
step "libvirt: list" virsh -c qemu:///system list --all
step "libvirt: the guest's word" sh -c 'until grep -aq "guest says hello" /srv/plain/log; do sleep 1; done'
step "libvirt: destroy" sh -c 'virsh -c qemu:///system destroy plain || true'
step "libvirt: undefine" virsh -c qemu:///system undefine plain
modprobe fuse || true
cat >container.xml <<END
<domain type='lxc'><name>plain-lxc</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type>exe</type><init>/bin/sh</init></os><devices>
<filesystem type='mount'><source dir='$W/tree'/><target dir='/'/></filesystem>
<console type='pty'/></devices></domain>
END
chmod 755 "$W"
step "libvirt: define a container" virsh -c lxc:/// define container.xml
step "libvirt: start it" virsh -c lxc:/// start plain-lxc
step "libvirt: list it" virsh -c lxc:/// list --all
step "libvirt: destroy it" virsh -c lxc:/// destroy plain-lxc
step "libvirt: undefine it" virsh -c lxc:/// undefine plain-lxc

# A Linux guest under KVM
step "kvm: flags" grep -q -w -E 'svm|vmx' /proc/cpuinfo
step "kvm: module" modprobe kvm_amd
step "kvm: device" test -c /dev/kvm
# Where the node is emulated, QEMU resets such a guest now and then: it is tried again, as ours.
linux_guest() {
    timeout 240 qemu-system-x86_64 -M microvm,x-option-roms=off \
        -accel kvm -cpu host -m 192 -nodefaults -no-user-config -nographic -no-reboot -serial stdio \
        -kernel "$KERNEL" -initrd initramfs -append 'console=ttyS0 panic=-1 reboot=t' |
        grep -a 'Hypervisor detected: KVM'
}
linux_guest_twice() { linux_guest || linux_guest; }
step "kvm: Linux guest" linux_guest_twice
cd /
rm -rf "$W" /srv/plain

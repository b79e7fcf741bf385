# nova-compute with QEMU's own emulation, and neutron's agent. Runs on a compute node.
. /usr/local/lib/lab.sh
nova_config
sed -i 's/^virt_type *=.*/virt_type = qemu/' /etc/nova/nova-compute.conf
neutron_config
# The node's namespaces are what confines its guests: libvirt cannot make further ones here.
cat >/etc/libvirt/qemu.conf <<'CONF'
security_driver = "none"
namespaces = []
cgroup_controllers = []
CONF
systemctl --quiet enable virtlogd.socket libvirtd
systemctl restart virtlogd.socket libvirtd
virsh -c qemu:///system version
# These have started when the controller answers, which is not there now: with the node only.
for unit in nova-compute neutron-linuxbridge-agent; do
    mkdir -p "/etc/systemd/system/$unit.service.d"
    printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=3\nTimeoutStartSec=infinity\n' \
        >"/etc/systemd/system/$unit.service.d/lab.conf"
    systemctl --quiet enable "$unit"
done

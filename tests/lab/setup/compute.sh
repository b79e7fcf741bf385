# nova-compute with QEMU's own emulation, and neutron's agent. Runs on a compute node.
. /usr/local/lib/lab.sh
nova_config
sed -i 's/^virt_type *=.*/virt_type = qemu/' /etc/nova/nova-compute.conf
# Consoles by SPICE, too, through the controller's proxy (spice.sh).
cat >>/etc/nova/nova.conf <<CONF
[spice]
enabled = true
agent_enabled = false
server_listen = 0.0.0.0
server_proxyclient_address = $NODE_IP
html5proxy_base_url = http://controller:6082/spice_auto.html
CONF
neutron_config ''
# The node's namespaces are what confines its guests: libvirt cannot make further ones here.
cat >/etc/libvirt/qemu.conf <<'CONF'
security_driver = "none"
namespaces = []
cgroup_controllers = []
CONF
# All nodes have the DMI of one machine. libvirt moves no guest to a host that it takes for itself.
echo "host_uuid = \"$(cat /proc/sys/kernel/random/uuid)\"" >>/etc/libvirt/libvirtd.conf
# nova moves guests over SSH: all compute nodes have one key, made of the lab's password.
usermod -s /bin/bash nova
install -d -o nova -g nova -m 700 /var/lib/nova/.ssh
python3 - "$PASSWORD" <<'PY'
import hashlib
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(sys.argv[1].encode()).digest())
folder = Path("/var/lib/nova/.ssh")
(folder / "id_ed25519").write_bytes(
    key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption()))
(folder / "authorized_keys").write_bytes(
    key.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH) + b"\n")
(folder / "config").write_text("Host *\n    StrictHostKeyChecking no\n    LogLevel ERROR\n"
                               "    UserKnownHostsFile /dev/null\n    BatchMode yes\n")
PY
chown nova:nova /var/lib/nova/.ssh/*
chmod 600 /var/lib/nova/.ssh/*
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

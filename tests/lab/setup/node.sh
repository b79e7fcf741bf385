# What all nodes have: helpers for the scripts that follow. Runs on the node, as root.
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\n' >/etc/systemd/journald.conf.d/lab.conf

cat >/usr/local/lib/lab.sh <<'LIB'
# Functions for the set-up of the lab's nodes.
PASSWORD=lab-password
BUS=rabbit://openstack:$PASSWORD@controller:5672/

# config FILE GROUP : write FILE, for root and GROUP, from standard input.
config() {
    cat >"$1"
    chown "root:$2" "$1"
    chmod 640 "$1"
}

# database NAME... : make databases, with a user of that name each.
database() {
    for name in "$@"; do
        echo "CREATE DATABASE IF NOT EXISTS $name CHARACTER SET utf8 COLLATE utf8_general_ci;"
        echo "GRANT ALL ON $name.* TO '${name%%_*}'@'%' IDENTIFIED BY '$PASSWORD';"
        echo "GRANT ALL ON $name.* TO '${name%%_*}'@'localhost' IDENTIFIED BY '$PASSWORD';"
    done | mysql
}

# connection NAME : how a service reaches its database.
connection() { echo "mysql+pymysql://${1%%_*}:$PASSWORD@controller/$1"; }

# account SECTION USER : a section by which a service logs in to keystone.
account() {
    printf '[%s]\n' "$1"
    printf '%s\n' auth_url=http://controller:5000 auth_type=password region_name=RegionOne \
        project_domain_name=Default user_domain_name=Default project_name=service \
        "username=$2" "password=$PASSWORD"
}

# tokens USER : the section by which a service checks tokens.
tokens() {
    account keystone_authtoken "$1"
    printf '%s\n' www_authenticate_uri=http://controller:5000 \
        memcached_servers=controller:11211 service_token_roles_required=false
}

# as USER COMMAND
as() {
    user=$1
    shift
    su -s /bin/sh -c "$*" "$user"
}

# small_uwsgi NAME... : two processes for each API of these; the distribution starts as many as the
# machine has CPUs, and more. Of one thread each: oslo.log 5.0.1 makes the lock of Python's logging
# one of eventlet's, and threads that wait for it at once wait for ever.
small_uwsgi() {
    for name in "$@"; do
        sed -i 's/^processes *=.*/processes = 2/; s/^threads *=.*/threads = 1/' \
            /etc/"$name"/*-uwsgi.ini
    done
}

# services UNIT... : start now and with the node, again and again until what they need is there.
services() {
    for unit in "$@"; do
        mkdir -p "/etc/systemd/system/$unit.service.d"
        printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=3\n' \
            >"/etc/systemd/system/$unit.service.d/lab.conf"
    done
    systemctl daemon-reload
    systemctl --quiet enable "$@"
    systemctl restart "$@"
}

# answers URL : wait for an answer of a web server, whatever it says.
answers() {
    for _ in $(seq 300); do
        curl -s -o /dev/null "$1" && return 0
        sleep 1
    done
    echo "no answer within 300 s: $1" >&2
    return 1
}

# nova_config : write nova.conf of this node.
nova_config() {
    config /etc/nova/nova.conf nova <<CONF
[DEFAULT]
log_dir = /var/log/nova
state_path = /var/lib/nova
transport_url = $BUS
my_ip = $NODE_IP
osapi_compute_workers = 1
metadata_workers = 1
[api]
auth_strategy = keystone
[api_database]
connection = $(connection nova_api)
[database]
connection = $(connection nova)
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 20
[oslo_concurrency]
lock_path = /var/lib/nova/lock
[vnc]
enabled = true
server_listen = 0.0.0.0
server_proxyclient_address = $NODE_IP
novncproxy_base_url = http://controller:6080/vnc_auto.html
[libvirt]
live_migration_uri = qemu+ssh://nova@%s/system?no_verify=1&keyfile=/var/lib/nova/.ssh/id_ed25519
virt_type = qemu
cpu_mode = none
inject_partition = -2
$(account placement placement)
[glance]
api_servers = http://controller:9292
$(account neutron neutron)
service_metadata_proxy = true
metadata_proxy_shared_secret = $PASSWORD
$(account service_user nova)
send_service_user_token = true
$(tokens nova)
CONF
    install -d -o nova -g nova /var/lib/nova/lock
}

# neutron_config [NETWORK:CARD] : write neutron's files of this node, with its physical network.
neutron_config() {
    config /etc/neutron/neutron.conf neutron <<CONF
[DEFAULT]
log_dir = /var/log/neutron
core_plugin = ml2
service_plugins = router
transport_url = $BUS
auth_strategy = keystone
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
[agent]
root_helper = sudo /usr/bin/neutron-rootwrap /etc/neutron/rootwrap.conf
[database]
connection = $(connection neutron)
[experimental]
linuxbridge = true
[oslo_concurrency]
lock_path = /var/lib/neutron/lock
$(account nova nova)
$(account placement placement)
$(tokens neutron)
CONF
    config /etc/neutron/plugins/ml2/ml2_conf.ini neutron <<CONF
[ml2]
type_drivers = flat,vxlan
tenant_network_types = vxlan
mechanism_drivers = linuxbridge
extension_drivers = port_security
[ml2_type_flat]
flat_networks = public
[ml2_type_vxlan]
vni_ranges = 1:1000
CONF
    config /etc/neutron/plugins/ml2/linuxbridge_agent.ini neutron <<CONF
[linux_bridge]
physical_interface_mappings = $1
[vxlan]
enable_vxlan = true
local_ip = $NODE_IP
[securitygroup]
enable_security_group = true
firewall_driver = iptables
CONF
    config /etc/neutron/dhcp_agent.ini neutron <<CONF
[DEFAULT]
interface_driver = linuxbridge
enable_isolated_metadata = true
CONF
    config /etc/neutron/l3_agent.ini neutron <<CONF
[DEFAULT]
interface_driver = linuxbridge
CONF
    config /etc/neutron/metadata_agent.ini neutron <<CONF
[DEFAULT]
nova_metadata_host = controller
metadata_proxy_shared_secret = $PASSWORD
metadata_workers = 1
CONF
    install -d -o neutron -g neutron /var/lib/neutron/lock
}
LIB

# lab-register NAME TYPE URL : a user, a service and its endpoints in keystone.
cat >/usr/local/sbin/lab-register <<'PY'
#!/usr/bin/python3
import sys

import openstack

name, kind, url = sys.argv[1:]
identity = openstack.connect(cloud="lab").identity
project = identity.find_project("service") or identity.create_project(name="service")
roles = {role.name: role for role in identity.roles()}
for needed in ("service", "admin"):
    role = roles.get(needed) or identity.create_role(name=needed)
    user = identity.find_user(name) or identity.create_user(
        name=name, password="lab-password", domain_id="default")
    identity.assign_project_role_to_user(project, user, role)
if identity.find_service(name) is None:
    service = identity.create_service(name=name, type=kind)
    for interface in ("public", "internal", "admin"):
        identity.create_endpoint(
            service_id=service.id, interface=interface, url=url, region_id="RegionOne")
PY
chmod 755 /usr/local/sbin/lab-register
mkdir -p /etc/openstack
cat >/etc/openstack/clouds.yaml <<'YAML'
clouds:
  lab:
    region_name: RegionOne
    auth:
      auth_url: http://controller:5000/v3
      username: admin
      password: lab-password
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
YAML

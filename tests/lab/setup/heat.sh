# heat: its API and one engine. Runs on the controller.
. /usr/local/lib/lab.sh
small_uwsgi heat
systemctl start mariadb rabbitmq-server keystone
rabbitmqctl -q await_startup
answers http://controller:5000/v3
database heat
lab-register heat orchestration 'http://controller:8004/v1/%(project_id)s'
# Users that stacks make for their servers are in a domain of heat's own.
python3 - <<'PY'
import openstack

identity = openstack.connect(cloud="lab").identity
roles = {role.name: role for role in identity.roles()}
for needed in ("heat_stack_owner", "heat_stack_user"):
    if needed not in roles:
        identity.create_role(name=needed)
domain = identity.find_domain("heat") or identity.create_domain(name="heat")
user = identity.find_user("heat_domain_admin", domain_id=domain.id) or identity.create_user(
    name="heat_domain_admin", password="lab-password", domain_id=domain.id)
identity.assign_domain_role_to_user(domain, user, roles["admin"])
PY
config /etc/heat/heat.conf heat <<CONF
[DEFAULT]
log_dir = /var/log/heat
transport_url = $BUS
num_engine_workers = 1
region_name_for_services = RegionOne
heat_metadata_server_url = http://controller:8000
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = $PASSWORD
stack_user_domain_name = heat
[clients_keystone]
auth_uri = http://controller:5000
[database]
connection = $(connection heat)
[oslo_concurrency]
lock_path = /var/lib/heat/lock
[trustee]
auth_type = password
auth_url = http://controller:5000
user_domain_name = Default
username = heat
password = $PASSWORD
$(tokens heat)
CONF
install -d -o heat -g heat /var/lib/heat/lock
as heat heat-manage db_sync
services heat-api heat-engine
answers http://controller:8004/

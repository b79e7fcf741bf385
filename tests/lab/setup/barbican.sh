# barbican, which keeps secrets in its database, encrypted with a key of its own. Runs on the
# controller.
. /usr/local/lib/lab.sh
small_uwsgi barbican
systemctl start mariadb rabbitmq-server keystone
rabbitmqctl -q await_startup
answers http://controller:5000/v3
database barbican
lab-register barbican key-manager http://controller:9311
# The role that barbican's rules of Zed ask for.
python3 - <<'PY'
import openstack

identity = openstack.connect(cloud="lab").identity
if identity.find_role("creator") is None:
    identity.create_role(name="creator")
PY
config /etc/barbican/barbican.conf barbican <<CONF
[DEFAULT]
log_dir = /var/log/barbican
transport_url = $BUS
sql_connection = $(connection barbican)
host_href = http://controller:9311
db_auto_create = false
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = $(head -c 32 /dev/urandom | base64)
$(tokens barbican)
CONF
as barbican barbican-manage db upgrade
services barbican-api
answers http://controller:9311/

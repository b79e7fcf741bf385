# The databases, the message bus, memcached, keystone and glance. Runs on the controller.
. /usr/local/lib/lab.sh
small_uwsgi keystone glance

cat >/etc/mysql/mariadb.conf.d/99-lab.cnf <<'CNF'
[mysqld]
bind-address = 0.0.0.0
skip-name-resolve
max_connections = 400
innodb_buffer_pool_size = 64M
innodb_flush_log_at_trx_commit = 0
CNF
systemctl --quiet enable mariadb
systemctl restart mariadb
# Nothing here uses it: it stands for the images' database, beside the one of Debian's packages.
systemctl --quiet enable postgresql
systemctl restart postgresql
sed -i 's/^-l .*/-l 0.0.0.0/' /etc/memcached.conf
services memcached rabbitmq-server
rabbitmqctl -q await_startup
rabbitmqctl -q add_user openstack "$PASSWORD"
rabbitmqctl -q set_permissions openstack '.*' '.*' '.*'

database keystone glance
config /etc/keystone/keystone.conf keystone <<CONF
[DEFAULT]
log_dir = /var/log/keystone
[database]
connection = $(connection keystone)
[token]
provider = fernet
[cache]
enabled = false
CONF
as keystone keystone-manage db_sync
keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
url=http://controller:5000/v3/
keystone-manage bootstrap --bootstrap-password "$PASSWORD" --bootstrap-region-id RegionOne \
    --bootstrap-admin-url $url --bootstrap-internal-url $url --bootstrap-public-url $url
chown -R keystone:keystone /var/log/keystone
# Where the roles controller and aio have it.
cat >/etc/keystone/admin-openrc <<RC
export OS_AUTH_URL=http://controller:5000/v3
export OS_USERNAME=admin
export OS_PASSWORD=$PASSWORD
export OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_DOMAIN_NAME=Default
export OS_REGION_NAME=RegionOne
export OS_IDENTITY_API_VERSION=3
RC
chmod 600 /etc/keystone/admin-openrc
services keystone
answers http://controller:5000/v3

lab-register glance image http://controller:9292
config /etc/glance/glance-api.conf glance <<CONF
[DEFAULT]
log_dir = /var/log/glance
[database]
connection = $(connection glance)
[glance_store]
stores = file
default_store = file
filesystem_store_datadir = /var/lib/glance/images
[paste_deploy]
flavor = keystone
$(tokens glance)
CONF
as glance glance-manage db_sync
services glance-api
answers http://controller:9292/

# swift: one replica, on one device that is a folder. Runs on the controller.
. /usr/local/lib/lab.sh
systemctl start memcached keystone
answers http://controller:5000/v3
lab-register swift object-store 'http://controller:8080/v1/AUTH_%(project_id)s'

install -d -o swift -g swift /srv/node /srv/node/d1
config /etc/swift/swift.conf swift <<CONF
[swift-hash]
swift_hash_path_prefix = lab
swift_hash_path_suffix = lab
[storage-policy:0]
name = default
default = yes
CONF
cd /etc/swift
for ring in object:6200 container:6201 account:6202; do
    name=${ring%:*}
    swift-ring-builder $name.builder create 6 1 1
    swift-ring-builder $name.builder add --region 1 --zone 1 --ip "$NODE_IP" \
        --port "${ring#*:}" --device d1 --weight 1
    swift-ring-builder $name.builder rebalance
    config $name-server.conf swift <<CONF
[DEFAULT]
bind_ip = 0.0.0.0
bind_port = ${ring#*:}
mount_check = false
workers = 1
[pipeline:main]
pipeline = healthcheck $name-server
[app:$name-server]
use = egg:swift#$name
[filter:healthcheck]
use = egg:swift#healthcheck
CONF
done

{
    cat <<CONF
[DEFAULT]
bind_port = 8080
workers = 1
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats authtoken keystoneauth copy slo dlo versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = controller:11211
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
CONF
    tokens swift | sed 1d
    for name in catch_errors gatekeeper healthcheck listing_formats copy slo dlo versioned_writes; do
        printf '[filter:%s]\nuse = egg:swift#%s\n' $name $name
    done
} | config proxy-server.conf swift
chown root:swift /etc/swift/*.ring.gz
chmod 640 /etc/swift/*.ring.gz
services swift-account swift-container swift-object swift-proxy
answers http://controller:8080/healthcheck

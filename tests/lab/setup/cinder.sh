# cinder, with volumes that are files of an NFS share, as in the role controller. Runs on the
# controller, which has the share, too.
. /usr/local/lib/lab.sh
small_uwsgi cinder
systemctl start mariadb rabbitmq-server keystone
rabbitmqctl -q await_startup
answers http://controller:5000/v3
database cinder
lab-register cinder volumev3 'http://controller:8776/v3/%(project_id)s'

# The host's kernel may have no NFS: here the share is its own folder, other nodes get its files
# over SFTP (volumes.sh). Cinder and nova do not see a difference, they call mount.
printf '#!/bin/sh\nexec mount --bind "${1#*:}" "$2"\n' >/usr/local/sbin/mount-share
chmod 755 /usr/local/sbin/mount-share
ln -sf /usr/local/sbin/mount-share /usr/sbin/mount.nfs
install -d -o cinder -g cinder /srv/volumes
cat >/etc/systemd/system/share.socket <<'UNIT'
[Socket]
ListenStream=2049
Accept=yes
[Install]
WantedBy=sockets.target
UNIT
cat >/etc/systemd/system/share@.service <<'UNIT'
[Service]
ExecStart=/usr/lib/openssh/sftp-server
StandardInput=socket
StandardError=journal
UNIT
systemctl daemon-reload
systemctl --quiet enable --now share.socket

echo controller:/srv/volumes | config /etc/cinder/shares cinder
config /etc/cinder/cinder.conf cinder <<CONF
[DEFAULT]
log_dir = /var/log/cinder
state_path = /var/lib/cinder
transport_url = $BUS
my_ip = $NODE_IP
auth_strategy = keystone
enabled_backends = share
glance_api_servers = http://controller:9292
rootwrap_config = /etc/cinder/rootwrap.conf
[database]
connection = $(connection cinder)
[oslo_concurrency]
lock_path = /var/lib/cinder/lock
[coordination]
backend_url = file:///var/lib/cinder/lock
[share]
volume_driver = cinder.volume.drivers.nfs.NfsDriver
volume_backend_name = share
nfs_shares_config = /etc/cinder/shares
nfs_mount_point_base = /var/lib/cinder/mnt
nfs_snapshot_support = true
nas_secure_file_operations = false
nas_secure_file_permissions = false
$(account nova nova)
$(account service_user cinder)
send_service_user_token = true
$(tokens cinder)
CONF
install -d -o cinder -g cinder /var/lib/cinder/lock /var/lib/cinder/mnt
as cinder cinder-manage db sync
services cinder-api cinder-scheduler cinder-volume
answers http://controller:8776/

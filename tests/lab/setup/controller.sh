# placement, nova and neutron, but nova-compute. Runs on the controller.
. /usr/local/lib/lab.sh
small_uwsgi placement nova neutron
# The node has just started; what these talk to may be starting yet.
systemctl start mariadb rabbitmq-server keystone
rabbitmqctl -q await_startup
answers http://controller:5000/v3
database placement nova_api nova nova_cell0 neutron

lab-register placement placement http://controller:8778
config /etc/placement/placement.conf placement <<CONF
[DEFAULT]
log_dir = /var/log/placement
[api]
auth_strategy = keystone
[placement_database]
connection = $(connection placement)
$(tokens placement)
CONF
as placement placement-manage db sync
services placement-api

lab-register nova compute http://controller:8774/v2.1
nova_config
as nova 'nova-manage api_db sync'
as nova 'nova-manage cell_v2 map_cell0'
as nova 'nova-manage cell_v2 create_cell --name cell1'
as nova 'nova-manage db sync'
services nova-api nova-api-metadata nova-conductor nova-scheduler

# The world outside of the cloud, for routers: a card whose other end nobody has.
cat >/etc/systemd/system/public-network.service <<'UNIT'
[Unit]
Before=neutron-linuxbridge-agent.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip link add public0 type veth peer name public1
ExecStart=ip link set public0 up
ExecStart=ip link set public1 up
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl --quiet enable --now public-network

lab-register neutron network http://controller:9696
neutron_config public:public0
as neutron 'neutron-db-manage --config-file /etc/neutron/neutron.conf \
    --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade head'
services neutron-api neutron-rpc-server neutron-linuxbridge-agent neutron-dhcp-agent \
    neutron-l3-agent neutron-metadata-agent
answers http://controller:8774/
answers http://controller:9696/

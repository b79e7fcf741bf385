# tempest as Debian has it; its configuration is the suite's affair. Its tests of routers want an
# external network that is there. Runs on the controller.
. /usr/local/lib/lab.sh
tempest --version
systemctl start mariadb rabbitmq-server memcached keystone neutron-api
answers http://controller:5000/v3
answers http://controller:9696/
cloud="openstack --os-cloud lab"
$cloud network show outside >/dev/null 2>&1 ||
    $cloud network create --external --provider-network-type flat \
        --provider-physical-network public outside
$cloud subnet show outside >/dev/null 2>&1 ||
    $cloud subnet create --network outside --no-dhcp --subnet-range 203.0.113.0/24 outside

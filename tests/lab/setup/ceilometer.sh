# ceilometer: its notification agent and its central one, gnocchi as the store, and files as in the
# role controller beside it. glance says on the message bus what becomes of its images. Runs on the
# controller.
. /usr/local/lib/lab.sh
small_uwsgi gnocchi
systemctl start mariadb rabbitmq-server memcached keystone
rabbitmqctl -q await_startup
answers http://controller:5000/v3
database gnocchi
lab-register gnocchi metric http://controller:8041
install -d -o gnocchi -g gnocchi /var/lib/gnocchi/locks
config /etc/gnocchi/gnocchi.conf gnocchi <<CONF
[DEFAULT]
coordination_url = file:///var/lib/gnocchi/locks
[api]
auth_mode = keystone
[indexer]
url = $(connection gnocchi)
[storage]
driver = file
file_basepath = /var/lib/gnocchi
[metricd]
workers = 1
metric_processing_delay = 5
$(tokens gnocchi)
CONF
as gnocchi gnocchi-upgrade
services gnocchi-api gnocchi-metricd
answers http://controller:8041/

# A user, and no service: ceilometer has no API.
python3 - <<'PY'
import openstack

identity = openstack.connect(cloud="lab").identity
project = identity.find_project("service")
user = identity.find_user("ceilometer") or identity.create_user(
    name="ceilometer", password="lab-password", domain_id="default")
for role in ("service", "admin"):
    identity.assign_project_role_to_user(project, user, identity.find_role(role))
PY
config /etc/ceilometer/ceilometer.conf ceilometer <<CONF
[DEFAULT]
transport_url = $BUS
[notification]
workers = 1
$(account service_credentials ceilometer)
interface = internal
CONF
# A publisher that cannot log in when the agent starts is left out for good.
mkdir -p /etc/systemd/system/ceilometer-agent-notification.service.d
cat >/etc/systemd/system/ceilometer-agent-notification.service.d/wait.conf <<'UNIT'
[Service]
TimeoutStartSec=600
ExecStartPre=/usr/bin/bash -euc '. /usr/local/lib/lab.sh; answers http://controller:5000/v3; answers http://controller:8041/'
UNIT
cat >/etc/ceilometer/pipeline.yaml <<'YAML'
sources:
  - name: all
    meters: ["*"]
    sinks: [store]
sinks:
  - name: store
    publishers:
      - file:///var/log/ceilometer/samples?max_bytes=10485760&backup_count=2&json
      - gnocchi://?timeout=60
YAML
# By events gnocchi knows when something has ended.
cat >/etc/ceilometer/event_pipeline.yaml <<'YAML'
sources:
  - name: all
    events: ["*"]
    sinks: [store]
sinks:
  - name: store
    publishers:
      - gnocchi://?timeout=60
YAML
cat >/etc/ceilometer/polling.yaml <<'YAML'
sources:
  - name: images
    interval: 30
    meters: [image.size]
YAML
as ceilometer ceilometer-upgrade
services ceilometer-agent-notification ceilometer-agent-central

crudini --set /etc/glance/glance-api.conf DEFAULT transport_url "$BUS"
crudini --set /etc/glance/glance-api.conf oslo_messaging_notifications driver messagingv2
systemctl restart glance-api
answers http://controller:9292/

# horizon below Apache's root, as in the role controller. Runs on the controller.
. /usr/local/lib/lab.sh
systemctl start memcached keystone
answers http://controller:5000/v3
cat >>/etc/openstack-dashboard/local_settings.py <<'PY'
ALLOWED_HOSTS = ["*"]
OPENSTACK_KEYSTONE_URL = "http://controller:5000/v3"
OPENSTACK_ENDPOINT_TYPE = "internalURL"
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": "127.0.0.1:11211",
    }
}
PY
# It is read later, and has sessions of which each process of Apache's knows its own only.
rm -f /etc/openstack-dashboard/local_settings.d/_0006_debian_cache.py
# One process for the dashboard: Debian's file leaves out the line that says so.
echo 'WSGIProcessGroup horizon' >>/etc/apache2/sites-available/openstack-dashboard-alias-only.conf
a2dissite -q default-ssl
a2ensite -q openstack-dashboard-alias-only
services apache2
answers http://controller/horizon/auth/login/

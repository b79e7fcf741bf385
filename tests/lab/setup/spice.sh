# nova's proxy for SPICE consoles, with the page of spice-html5. Runs on the controller; that its
# guests have such consoles is the affair of each compute node (compute.sh).
. /usr/local/lib/lab.sh
sed -i 's/^NOVA_CONSOLE_PROXY_TYPE=.*/NOVA_CONSOLE_PROXY_TYPE=spicehtml5/' /etc/default/nova-consoleproxy
systemctl start mariadb rabbitmq-server
rabbitmqctl -q await_startup
services nova-spicehtml5proxy
answers http://controller:6082/spice_auto.html

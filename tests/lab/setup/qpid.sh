# RabbitMQ speaks AMQP 1.0, too: Debian 12 has no qpidd. Runs on the controller.
. /usr/local/lib/lab.sh
systemctl start rabbitmq-server
rabbitmqctl -q await_startup
rabbitmq-plugins -q enable rabbitmq_amqp1_0

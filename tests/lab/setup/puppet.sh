# puppet without a master: its agent is not started. Runs on the controller.
. /usr/local/lib/lab.sh
puppet apply --detailed-exitcodes -e 'notice("set up")'

# saslauthd, which asks PAM. Runs on the controller.
. /usr/local/lib/lab.sh
# Without START its script says that all is well, and starts nothing.
sed -i 's/^MECHANISMS=.*/MECHANISMS="pam"/; $a START=yes' /etc/default/saslauthd
services saslauthd
for _ in $(seq 30); do [ -S /run/saslauthd/mux ] && exit 0; sleep 1; done
exit 1

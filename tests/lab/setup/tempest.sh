# tempest as Debian has it; its configuration is the suite's affair. Runs on the controller.
. /usr/local/lib/lab.sh
tempest --version

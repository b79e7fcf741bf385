# slapd, and a domain of keystone whose users are in it. Runs on the controller.
. /usr/local/lib/lab.sh
services slapd
external='-Q -Y EXTERNAL -H ldapi:///'
for _ in $(seq 60); do ldapwhoami $external >/dev/null 2>&1 && break; sleep 1; done
# Debian made a database for the domain of the host's name, with a password that nobody knows.
base=$(ldapsearch -x -LLL -H ldapi:/// -s base -b '' namingContexts | sed -n 's/^namingContexts: //p')
database=$(ldapsearch $external -LLL -b cn=config "(olcSuffix=$base)" dn | sed -n 's/^dn: //p')
ldapmodify $external <<LDIF
dn: $database
changetype: modify
replace: olcRootPW
olcRootPW: $(slappasswd -s "$PASSWORD")
LDIF
(umask 077; printf %s "$PASSWORD" >/run/directory)
ldapadd -x -H ldapi:/// -D "cn=admin,$base" -y /run/directory <<LDIF
dn: ou=Users,$base
objectClass: organizationalUnit
ou: Users
LDIF
rm /run/directory

systemctl start mariadb memcached keystone
answers http://controller:5000/v3
openstack --os-cloud lab domain show directory >/dev/null 2>&1 ||
    openstack --os-cloud lab domain create directory
install -d -o root -g keystone -m 750 /etc/keystone/domains
config /etc/keystone/domains/keystone.directory.conf keystone <<CONF
[identity]
driver = ldap
[ldap]
url = ldap://controller
user = cn=admin,$base
password = $PASSWORD
suffix = $base
user_tree_dn = ou=Users,$base
user_objectclass = inetOrgPerson
user_id_attribute = uid
user_name_attribute = uid
user_pass_attribute = userPassword
CONF
crudini --set /etc/keystone/keystone.conf identity domain_specific_drivers_enabled true
crudini --set /etc/keystone/keystone.conf identity domain_config_dir /etc/keystone/domains
systemctl restart keystone
answers http://controller:5000/v3

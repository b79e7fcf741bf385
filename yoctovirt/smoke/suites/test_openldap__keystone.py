"""Suite openldap, part keystone: who is in the directory logs in to OpenStack."""

from __future__ import annotations

import secrets
import shlex
from typing import Any

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.directory import NO_SUCH_OBJECT, Server
from yoctovirt.smoke.suites.aids.directory import said as said_by_client
from yoctovirt.smoke.suites.aids.openstack import find_cloud, parse_json, said_by

pytestmark = pytest.mark.usefixtures("started")

#: Prints how keystone reaches the directory (its option reference, group ldap), by domain, and
#: writes the password that it has there to a file of root's.
_SETTINGS = """
import configparser, glob, json, os, sys
found = {}
files = glob.glob("/etc/keystone/domains/keystone.*.conf") + ["/etc/keystone/keystone.conf"]
for path in files:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read(path)
    except configparser.Error as error:
        sys.exit("%s: %s" % (path, error))
    if parser.get("identity", "driver", fallback="sql") != "ldap" or "ldap" not in parser:
        continue
    found = dict(parser["ldap"])
    name = os.path.basename(path)[len("keystone."):-len(".conf")]
    found["domain"] = name or "Default"
    break
with os.fdopen(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600), "w") as secret:
    secret.write(found.pop("password", ""))
print(json.dumps(found))
"""


@pytest.fixture
def settings(node: SmokeNode, undo: Undo) -> dict[str, Any]:
    """Return how keystone reaches the directory; ``login`` is a file with its password."""
    if "keystone-ldap" not in node.promises:
        not_run(
            "the role does not promise keystone-ldap: keystone has its users in its own database"
        )
    login = f"/run/yoctovirt-{secrets.token_hex(4)}"
    undo(f"rm -f {login} {login}.user {login}.wrong")
    told = node.check(f"python3 -c {shlex.quote(_SETTINGS)} {login}")
    settings: dict[str, Any] = parse_json(told, "keystone's configuration")
    assert settings, (
        "keystone-ldap is promised, and neither keystone.conf nor a file of a domain in "
        "/etc/keystone/domains has driver = ldap"
    )
    return {**settings, "login": login}


@pytest.mark.deadline(300)
def test_keystone(node: SmokeNode, settings: dict[str, Any], undo: Undo) -> None:
    """A user of the directory gets a token of keystone with its password, with no other one."""
    cloud = find_cloud(node)
    server, login = Server(node, settings["url"]), settings["login"]
    server.contexts()
    tree, naming = settings["user_tree_dn"], settings.get("user_name_attribute", "sn")
    name, password = f"yv{secrets.token_hex(6)}", secrets.token_hex(12)
    dn = f"{settings.get('user_id_attribute', 'cn')}={name},{tree}"
    writer = f"-D {shlex.quote(settings.get('user', ''))} -y {login}"
    undo(
        f"ldapdelete -x -H {server.url} {writer} {shlex.quote(dn)}\n"
        f"case $? in 0|{NO_SUCH_OBJECT}) ;; *) exit 1 ;; esac"
    )
    node.put(password.encode(), f"{login}.user", 0o600)
    node.put(secrets.token_hex(12).encode(), f"{login}.wrong", 0o600)
    fields = {"cn": name, "sn": name, "uid": name, naming: name}
    ldif = f"dn: {dn}\nobjectClass: {settings.get('user_objectclass', 'inetOrgPerson')}\n"
    ldif += "\n".join(f"{field}: {value}" for field, value in fields.items())
    for tool, words, given in (
        ("ldapadd", "", ldif),
        ("ldappasswd", f"-T {login}.user {shlex.quote(dn)}", ""),
    ):
        done = server.call(tool, f"{writer} {words}", given)
        assert done.ok, (
            f"with the login that keystone has there no user can be made in the directory: "
            f"{said_by_client(done)}"
        )

    def as_user(file: str) -> str:
        return (
            "unset $(env | sed -n 's/^\\(OS_PROJECT[A-Z_]*\\|OS_TENANT[A-Z_]*\\|OS_USER_ID\\)=.*/"
            f"\\1/p')\nexport OS_USERNAME={name} OS_USER_DOMAIN_NAME={settings['domain']} "
            f'OS_PASSWORD="$(cat {file})"'
        )

    ask = "token issue -f value -c user_id"
    why = "a user of the directory gets no token of keystone"
    cloud.check(ask, before=as_user(f"{login}.user"), why=why)
    done = cloud.run(ask, before=as_user(f"{login}.wrong"))
    assert not done.ok, "a user of the directory gets a token with a wrong password"
    assert "401" in done.output, (
        f"a wrong password should be answered with 401, came: {said_by(done)}"
    )

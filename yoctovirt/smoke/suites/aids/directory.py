"""A place of our own in the directory that a node's slapd serves, and the LDAP clients there.

slapd is asked where it listens by its own arguments. To write one needs a password that nobody
has told us, so the place is, whichever is there first:

- a database of our own, added to the running slapd through ``cn=config`` and removed again, where
  root of the node may do that (Debian: SASL EXTERNAL over ldapi);
- a branch below the suffix of slapd.conf, where its ``rootpw`` stands in clear (OpenEmbedded).
"""

from __future__ import annotations

import re
import secrets
import shlex
from dataclasses import dataclass

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.daemons import why_none_runs

#: Exit status of the clients: the result code of LDAP (RFC 4511, appendix A.1).
NO_SUCH_OBJECT, INVALID_CREDENTIALS, NO_RIGHT, NOT_ON_NON_LEAF, EXISTS = 32, 49, 50, 66, 68
#: What a server may answer to somebody without a login who wants to write.
REFUSED = (8, NO_RIGHT, 53)
_MISSING = 127
#: Seconds in which the server has to answer a client.
_ANSWER = "-o nettimeout=20"

#: Prints suffix and rootdn of the first database of slapd.conf with a rootpw in clear, and writes
#: that to a file of root's: a password must not stand in what is recorded.
_SLAPD_CONF = r"""
conf=$(tr '\0' '\n' </proc/$(pidof slapd | cut -d' ' -f1)/cmdline | grep -A1 -x -e -f | tail -n 1)
for file in $conf /etc/openldap/slapd.conf /etc/ldap/slapd.conf; do
    [ -r "$file" ] && break
    file=
done
[ -n "$file" ] || { echo "there is no slapd.conf"; exit 3; }
umask 077
awk -v secret=@SECRET@ '
    function value(  text) { text = $0; sub(/^[^ \t]+[ \t]+/, "", text); gsub(/"/, "", text)
                             sub(/[ \t]+$/, "", text); return text }
    function done() { if (suffix != "" && dn != "" && pw != "") {
                          printf "%s", pw >secret; print suffix; print dn; ok = 1; exit } }
    $1 == "database" { done(); suffix = dn = pw = "" }
    $1 == "suffix" && suffix == "" { suffix = value() }
    $1 == "rootdn" { dn = value() }
    $1 == "rootpw" && value() !~ /^[{]/ { pw = value() }
    END { if (!ok) { done(); if (!ok) { print "no rootpw in clear"; exit 4 } } }
' "$file"
"""


@dataclass(frozen=True)
class Server:
    """A running slapd, and where it answers."""

    node: SmokeNode
    url: str

    def call(self, tool: str, arguments: str = "", stdin: str = "") -> CommandResult:
        """Run an LDAP client of the node without a login; fail where the node has none."""
        given = f" <<'LDIF'\n{stdin}\nLDIF" if stdin else " </dev/null"
        simple = "" if "-Y " in arguments else "-x "
        where = "" if "-H " in arguments else f"-H {self.url} "
        done = self.node.run(f"{tool} {simple}{_ANSWER} {where}{arguments} 2>&1{given}")
        assert done.exit_status != _MISSING, f"nothing was tested, the node lacks {tool}"
        return done

    def contexts(self) -> list[str]:
        """Return the suffixes of its databases, from its root DSE."""
        asked = "-LLL -o ldif-wrap=no -s base -b '' supportedLDAPVersion namingContexts"
        done = self.call("ldapsearch", asked)
        assert done.ok, f"slapd does not answer at {self.url}: {said(done)}"
        found = attributes(done.output)
        assert "3" in found.get("supportedLDAPVersion", []), (
            f"a root DSE has supportedLDAPVersion 3, came:\n{done.output.strip()[:500]}"
        )
        return found.get("namingContexts", [])


def said(done: CommandResult) -> str:
    """Return the last lines of what a client printed, with its exit status."""
    words = " ".join(done.output.split()[-40:]) or "(no output)"
    return f"status {done.exit_status}, {words}"


def attributes(ldif: str) -> dict[str, list[str]]:
    """Return attribute -> values of the entries in *ldif*, which has no wrapped lines."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([\w;-]+): (.*)$", ldif, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def find_server(node: SmokeNode) -> Server:
    """Return the slapd that runs; fail the check where none does."""
    wrong = why_none_runs(node, "slapd")
    if wrong:
        asked = "for word in is-active is-enabled; do systemctl $word slapd; done 2>/dev/null"
        unit = ", ".join(node.run(asked).output.split())
        of_unit = f" (its unit: {unit})" if unit else ""
        pytest.fail(f"slapd does not run: {wrong}{of_unit}", pytrace=False)
    told = node.check("tr '\\0' '\\n' </proc/$(pidof slapd | cut -d' ' -f1)/cmdline").split("\n")
    listed = told[told.index("-h") + 1] if "-h" in told[:-1] else "ldap:///"
    urls = sorted(listed.split(), key=lambda url: not url.startswith("ldap://"))
    url = urls[0] if urls else "ldap:///"
    # What it listens on may be any address, for which clients have other words.
    url = re.sub(r"^(ldaps?)://(0\.0\.0\.0|\[::\]|\*)?(?=[:/]|$)", r"\1://127.0.0.1", url)
    return Server(node, url)


@dataclass(frozen=True)
class Place:
    """A branch of the directory in which we may do everything."""

    server: Server
    base: str
    admin: str  #: DN of the one who may
    folder: str  #: on the node, for root only; ``admin`` in it has the password

    def call(self, tool: str, arguments: str = "", stdin: str = "") -> CommandResult:
        """Run an LDAP client as the one who may do everything."""
        login = f"-D {shlex.quote(self.admin)} -y {self.folder}/admin "
        return self.server.call(tool, login + arguments, stdin)

    def check(self, tool: str, arguments: str = "", stdin: str = "", why: str = "") -> str:
        """Return what a client prints; fail the check where the server refuses."""
        done = self.call(tool, arguments, stdin)
        assert done.ok, f"{why}: {said(done)}"
        return done.output

    def search(self, words: str, base: str = "") -> CommandResult:
        """Search as nobody, below *base* (default: the place): *words* are filter, attributes."""
        where = shlex.quote(base or self.base)
        return self.server.call("ldapsearch", f"-LLL -o ldif-wrap=no -b {where} {words}")


def open_place(server: Server, undo: Undo) -> Place:
    """Make a place in the directory; it goes, with all that is in it, at the end.

    The check is not run where no way into the directory is known.
    """
    node, name = server.node, f"yoctovirt-{secrets.token_hex(4)}"
    folder = f"/run/{name}"
    undo(f"rm -rf {folder}")
    node.check(f"mkdir -m 700 {folder}")
    server.contexts()
    if server.call("ldapsearch", f"{_EXTERNAL} -b cn=config -s base dn").ok:
        return _own_database(server, undo, name, folder)
    told = node.run(_SLAPD_CONF.replace("@SECRET@", f"{folder}/admin"))
    if not told.ok:
        not_run(
            "no way to write into this directory is known: root of the node has no right to "
            f"cn=config over ldapi, and {told.output.strip()}"
        )
    suffix, admin = told.output.strip().splitlines()[:2]
    return _own_branch(Place(server, suffix, admin, folder), undo, name)


_EXTERNAL = "-Q -Y EXTERNAL -H ldapi:///"


def _own_database(server: Server, undo: Undo, name: str, folder: str) -> Place:
    """Add a database to the running slapd, in a folder beside that of another one."""
    node, base = server.node, f"dc={name}"
    asked = f"{_EXTERNAL} -LLL -o ldif-wrap=no -b cn=config '(olcDbDirectory=*)' olcDbDirectory"
    there = attributes(server.call("ldapsearch", asked).output).get("olcDbDirectory", [])
    # Where slapd is confined, it is to that folder.
    parent = there[0].rstrip("/") if there else "/var/lib/ldap"
    password = secrets.token_hex(16)
    undo(
        f"dn=$(ldapsearch {_EXTERNAL} -LLL -b cn=config '(olcSuffix={base})' dn |"
        " sed -n 's/^dn: //p')\n"
        f'[ -z "$dn" ] || ldapdelete {_EXTERNAL} "$dn" && rm -rf {parent}/{name}'
    )
    place = Place(server, base, f"cn=admin,{base}", folder)
    ldif = (
        "dn: olcDatabase=mdb,cn=config\nobjectClass: olcDatabaseConfig\n"
        f"objectClass: olcMdbConfig\nolcDatabase: mdb\nolcSuffix: {base}\n"
        f"olcRootDN: {place.admin}\nolcRootPW: {password}\nolcDbDirectory: {parent}/{name}\n"
        "olcDbMaxSize: 10485760\n"
        "olcAccess: {0}to attrs=userPassword by anonymous auth by * none\n"
        "olcAccess: {1}to * by * read\n"
    )
    node.put(ldif.encode(), f"{folder}/database", 0o600)
    node.put(password.encode(), f"{folder}/admin", 0o600)
    made = node.run(
        f"mkdir -m 700 {parent}/{name} && chown --reference={parent} {parent}/{name} &&\n"
        f"ldapadd {_EXTERNAL} -f {folder}/database 2>&1"
    )
    assert made.ok, f"slapd takes no further database: {said(made)}"
    _add_suffix(place)
    return place


def _own_branch(top: Place, undo: Undo, name: str) -> Place:
    """Make a branch below the suffix of a database, and its topmost entry where that is missing."""
    place = Place(top.server, f"ou={name},{top.base}", top.admin, top.folder)
    login = f"-x -H {top.server.url} -D {shlex.quote(top.admin)} -y {top.folder}/admin"
    gone = f"case $? in 0|{NO_SUCH_OBJECT}) ;; *) exit 1 ;; esac"
    there = top.call("ldapsearch", f"-s base -b {shlex.quote(top.base)} dn")
    if there.exit_status == NO_SUCH_OBJECT:
        undo(f"ldapdelete {login} {shlex.quote(top.base)}; {gone}")
        _add_suffix(top)
    else:
        assert there.ok, f"the rootdn of slapd.conf cannot log in: {said(there)}"
    undo(f"ldapdelete {login} -r {shlex.quote(place.base)}; {gone}")
    ldif = f"dn: {place.base}\nobjectClass: organizationalUnit\nou: {name}"
    top.check("ldapadd", stdin=ldif, why="no branch can be added below the suffix")
    return place


def _add_suffix(place: Place) -> None:
    """Add the topmost entry of a database that has none."""
    kind, _, value = place.base.partition(",")[0].partition("=")
    classes = {
        "dc": f"objectClass: organization\nobjectClass: dcObject\no: {value}\ndc: {value}",
        "o": f"objectClass: organization\no: {value}",
        "ou": f"objectClass: organizationalUnit\nou: {value}",
    }
    ldif = classes.get(kind.strip().lower())
    assert ldif, f"the directory is empty, and its suffix {place.base} of a kind that we cannot add"
    why = "the topmost entry of the database cannot be added"
    place.check("ldapadd", stdin=f"dn: {place.base}\n{ldif}", why=why)

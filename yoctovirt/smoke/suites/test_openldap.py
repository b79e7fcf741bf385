"""Suite openldap: the directory keeps entries, finds them, and lets in who has the password."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.directory import (
    EXISTS,
    INVALID_CREDENTIALS,
    NO_RIGHT,
    NO_SUCH_OBJECT,
    NOT_ON_NON_LEAF,
    REFUSED,
    Place,
    Server,
    attributes,
    find_server,
    open_place,
    said,
)

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("slapd.service",)
DIAGNOSTICS = (
    "ldapsearch -x -LLL -H ldap://127.0.0.1 -s base -b '' namingContexts supportedLDAPVersion",
    "ss -ltnp 2>/dev/null || netstat -ltn",
    "df -h /var/lib/ldap /var/openldap",
)


@pytest.fixture(scope="module")
def server(node: SmokeNode) -> Server:
    """Return the slapd of the node, which runs."""
    return find_server(node)


@pytest.fixture(scope="module")
def place(server: Server, module_undo: Undo) -> Place:
    """Make a branch of our own in the directory."""
    return open_place(server, module_undo)


@dataclass(frozen=True)
class Person:
    """An entry that the client was told to add."""

    dn: str
    name: str
    added: CommandResult


def _add(place: Place, unit: str) -> Person:
    name = f"yv{secrets.token_hex(6)}"
    dn = f"cn={name},ou={unit},{place.base}"
    ldif = (
        f"dn: ou={unit},{place.base}\nobjectClass: organizationalUnit\nou: {unit}\n\n"
        f"dn: {dn}\nobjectClass: person\ncn: {name}\nsn: Lovelace\ntelephoneNumber: +44 1"
    )
    return Person(dn, name, place.call("ldapadd", stdin=ldif))


def _added(place: Place, unit: str) -> Person:
    person = _add(place, unit)
    assert person.added.ok, f"no entry can be added: {said(person.added)}"
    return person


def _put_password(place: Place, name: str, text: str) -> str:
    """Write a password to a file of root's, and return its path."""
    path = f"{place.folder}/{name}"
    place.server.node.put(text.encode(), path, 0o600)
    return path


def _login(server: Server, dn: str, password: str) -> CommandResult:
    """Log in as *dn* with the password in the file *password*, and ask who one is."""
    return server.call("ldapwhoami", f"-D {shlex.quote(dn)} -y {password}")


@pytest.fixture
def person(place: Place) -> Person:
    """Add a person with a password of its own."""
    person = _added(place, f"login-{secrets.token_hex(3)}")
    secret = _put_password(place, person.name, secrets.token_hex(12))
    place.check("ldappasswd", f"-T {secret} {shlex.quote(person.dn)}", why="no password can be set")
    return person


def test_daemon(server: Server) -> None:
    """The daemon answers with its root DSE, and so does each database that it names."""
    contexts = server.contexts()
    assert contexts, "the root DSE names no database (namingContexts)"
    for base in contexts:
        done = server.call("ldapsearch", f"-LLL -s base -b {shlex.quote(base)} dn")
        # A database without any entry yet has not even its topmost one.
        assert done.exit_status in (0, NO_SUCH_OBJECT), f"{base} does not answer: {said(done)}"


def test_strangers(server: Server, node: SmokeNode, undo: Undo) -> None:
    """No database of the daemon lets in somebody who does not exist (49)."""
    contexts = server.contexts()
    assert contexts, "the root DSE names no database (namingContexts)"
    secret = f"/run/yoctovirt-{secrets.token_hex(4)}"
    undo(f"rm -f {secret}")
    node.put(secrets.token_hex(12).encode(), secret, 0o600)
    for base in contexts:
        for name in ("admin", "Manager", f"yoctovirt-{secrets.token_hex(4)}"):
            done = _login(server, f"cn={name},{base}", secret)
            assert done.exit_status == INVALID_CREDENTIALS, (
                f"cn={name},{base} with a made-up password should give "
                f"{INVALID_CREDENTIALS}, came {said(done)}"
            )


def test_add_and_search(place: Place) -> None:
    """An entry is found by what it has, with what it was given, once; not by anything else."""
    person = _add(place, "found")
    assert person.added.ok, f"no entry can be added: {said(person.added)}"
    done = place.search(f"'(&(objectClass=person)(cn={person.name}))' sn telephoneNumber")
    assert done.ok, f"the directory cannot be searched: {said(done)}"
    found = attributes(done.output)
    wanted = {"dn": [person.dn], "sn": ["Lovelace"], "telephoneNumber": ["+44 1"]}
    assert found == wanted, f"added was {wanted}, found {found or 'nothing'}"
    done = place.search(f"'(cn={person.name}x)' dn")
    assert done.ok, f"the directory cannot be searched: {said(done)}"
    assert not done.output.strip(), f"nothing has that name, found:\n{done.output.strip()}"
    again = place.call(
        "ldapadd", stdin=f"dn: {person.dn}\nobjectClass: person\ncn: {person.name}\nsn: Other"
    )
    assert again.exit_status == EXISTS, (
        f"an entry that is there, added again, should give {EXISTS}, came {said(again)}"
    )


def test_modify(place: Place) -> None:
    """A value is replaced, one is added, one is deleted; what a schema forbids is refused."""
    person = _added(place, "modified")
    change = (
        f"dn: {person.dn}\nchangetype: modify\nreplace: sn\nsn: King\n-\n"
        "add: description\ndescription: Countess\n-\ndelete: telephoneNumber"
    )
    place.check("ldapmodify", stdin=change, why="an entry cannot be modified")
    found = attributes(place.search(f"'(cn={person.name})' sn description telephoneNumber").output)
    wanted = {"dn": [person.dn], "sn": ["King"], "description": ["Countess"]}
    assert found == wanted, f"modified to {wanted}, found {found or 'nothing'}"
    wrong = place.call("ldapmodify", stdin=f"dn: {person.dn}\nchangetype: modify\ndelete: sn")
    assert not wrong.ok, "a person without the surname that the schema demands is taken"


def test_login(place: Place, person: Person) -> None:
    """The right password lets in; a wrong one gives 49, an empty one does not let in."""
    server = place.server
    done = _login(server, person.dn, f"{place.folder}/{person.name}")
    assert done.ok, f"the right password is refused: {said(done)}"
    assert done.output.strip() == f"dn:{person.dn}", f"logged in as {done.output.strip()}"
    wrong = _put_password(place, "wrong", secrets.token_hex(12))
    done = _login(server, person.dn, wrong)
    assert done.exit_status == INVALID_CREDENTIALS, (
        f"a wrong password should give {INVALID_CREDENTIALS}, came {said(done)}"
    )
    done = server.call("ldapwhoami", f"-D {shlex.quote(person.dn)} -w ''")
    assert f"dn:{person.dn}" not in done.output, "an empty password lets in"


def test_rights(place: Place, person: Person) -> None:
    """Without a login nobody adds an entry; with one nobody deletes that of another."""
    server = place.server
    done = server.call("ldapadd", stdin=f"dn: cn=x,{place.base}\nobjectClass: person\ncn: x\nsn: x")
    assert done.exit_status in REFUSED, (
        f"an entry added without a login should give one of {REFUSED}, came {said(done)}"
    )
    other = _added(place, f"other-{secrets.token_hex(3)}")
    login = f"-D {shlex.quote(person.dn)} -y {place.folder}/{person.name}"
    done = server.call("ldapdelete", f"{login} {shlex.quote(other.dn)}")
    assert done.exit_status == NO_RIGHT, (
        f"somebody who deletes another one's entry should get {NO_RIGHT}, came {said(done)}"
    )


def test_delete(place: Place) -> None:
    """A branch with an entry in it stays; the entry goes, then the branch, and neither is found."""
    person = _added(place, "deleted")
    branch = person.dn.partition(",")[2]
    full = place.call("ldapdelete", shlex.quote(branch))
    assert full.exit_status == NOT_ON_NON_LEAF, (
        f"a branch with an entry in it, deleted, should give {NOT_ON_NON_LEAF}, came {said(full)}"
    )
    for dn in (person.dn, branch):
        place.check("ldapdelete", shlex.quote(dn), why="an entry cannot be deleted")
        done = place.search("-s base dn", dn)
        assert done.exit_status == NO_SUCH_OBJECT, f"a deleted entry is still found: {said(done)}"

"""Suite postgresql: the server keeps what it is given, all or nothing, and for whom it may be."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("postgresql.service", "postgresql@*.service")
DIAGNOSTICS = ("tail -n 60 /var/log/postgresql/*.log", "df -h /var/lib/postgresql")

_PSQL = "psql -X -q -A -t -v ON_ERROR_STOP=1"


def _sql(node: SmokeNode, text: str, database: str = "postgres") -> CommandResult:
    """Run SQL as the server's own superuser, through its socket."""
    return node.run(
        f"cd /\nsu -s /bin/sh postgres -c '{_PSQL} -d {database}' 2>&1 <<'SQL'\n{text}\nSQL"
    )


@dataclass(frozen=True)
class Database:
    """A database of ours, owned by a role of the same name; its login stands in *login*."""

    node: SmokeNode
    name: str
    login: str

    def sql(self, text: str) -> CommandResult:
        """Run SQL in it, as the superuser."""
        return _sql(self.node, text, self.name)

    def check(self, text: str, why: str) -> str:
        """Return what SQL prints; fail the check where the server refuses it."""
        done = self.sql(text)
        assert done.ok, f"{why}: {done.output.strip()}"
        return done.output.strip()


@pytest.fixture(scope="module")
def database(node: SmokeNode, module_undo: Undo) -> Database:
    """Make a role and a database of its own."""
    name, password = f"yoctovirt_{secrets.token_hex(4)}", secrets.token_hex(12)
    login = f"/run/{name}"
    module_undo(
        f"rm -f {login} {login}.sql\ncd /\n"
        f"su -s /bin/sh postgres -c '{_PSQL} -d postgres' <<'SQL'\n"
        f"DROP DATABASE IF EXISTS {name};\nDROP ROLE IF EXISTS {name};\n"
        f"DROP ROLE IF EXISTS {name}_other;\nSQL"
    )
    # The password is in files that only root reads: commands are recorded.
    node.put(f"*:*:*:{name}:{password}\n".encode(), login, 0o600)
    node.put(f"CREATE ROLE {name} LOGIN PASSWORD '{password}';\n".encode(), f"{login}.sql", 0o600)
    made = node.run(f"cd /\nsu -s /bin/sh postgres -c '{_PSQL} -d postgres' <{login}.sql 2>&1")
    assert made.ok, f"no role can be made: {made.output.strip()}"
    made = _sql(node, f"CREATE DATABASE {name} OWNER {name};")
    assert made.ok, f"no database can be made: {made.output.strip()}"
    return Database(node, name, login)


def test_daemon(node: SmokeNode) -> None:
    """The server answers on its socket, and is no standby that only reads."""
    done = _sql(node, "SELECT pg_is_in_recovery(); SHOW server_version;")
    assert done.ok, f"the server does not answer: {done.output.strip()}"
    recovering, version = done.output.split("\n")[:2]
    assert recovering == "f", f"the server (version {version}) is in recovery: it only reads"


def test_round_trip(database: Database) -> None:
    """Rows come back as they went in; a transaction that is rolled back leaves nothing."""
    word = secrets.token_hex(16)
    database.check(
        f"CREATE TABLE kept (id integer PRIMARY KEY, word text);\n"
        f"INSERT INTO kept VALUES (1, '{word} äöü €');",
        "a table cannot be made and filled",
    )
    came = database.check("SELECT word FROM kept WHERE id = 1;", "it cannot be read")
    assert came == f"{word} äöü €", f"written {word} äöü €, read {came}"
    database.check(
        "BEGIN; INSERT INTO kept VALUES (2, 'never'); ROLLBACK;", "no transaction can be made"
    )
    count = database.check("SELECT count(*) FROM kept;", "it cannot be counted")
    assert count == "1", f"a row was rolled back, the table has {count} rows instead of 1"
    done = database.sql("INSERT INTO kept VALUES (1, 'twice');")
    assert not done.ok, "a primary key is there twice"
    assert "duplicate key" in done.output, f"a key given twice: {done.output.strip()}"


def test_rights(database: Database) -> None:
    """A role reads no table that it was given no right to, and does when it was."""
    other = f"{database.name}_other"
    database.check(
        f"CREATE TABLE secret (word text); INSERT INTO secret VALUES ('x'); CREATE ROLE {other};",
        "no second role can be made",
    )
    look = f"SET ROLE {other}; SELECT word FROM secret;"
    done = database.sql(look)
    assert not done.ok, "a role without any right reads a table of another one"
    assert "permission denied" in done.output, f"no right to read: {done.output.strip()}"
    database.check(f"GRANT SELECT ON secret TO {other};", "no right can be given")
    came = database.check(look, "a role cannot read what it has the right to")
    assert came == "x", f"the table has x, read {came}"
    database.check(f"DROP TABLE secret; DROP ROLE {other};", "it cannot be removed")


def test_over_tcp(node: SmokeNode, database: Database) -> None:
    """A role logs in over TCP with its password, as services do, and owns its database."""
    done = node.run(
        f"PGPASSFILE={database.login} {_PSQL} -w -h 127.0.0.1 -U {database.name} "
        f"-d {database.name} -c 'CREATE TABLE mine (id integer); DROP TABLE mine;' "
        f"-c 'SELECT current_user'"
    )
    assert done.exit_status != 127, "there is no psql for users: nothing was tested"
    assert done.ok, f"no login over TCP: {done.output.strip()}"
    assert done.output.strip() == database.name, f"logged in as {done.output.strip()}"

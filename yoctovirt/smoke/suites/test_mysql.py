"""Suite mysql: MariaDB or MySQL keeps what it is given, all or nothing, and for whom it may be."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo

pytestmark = pytest.mark.usefixtures("started")

COMMANDS = ("mariadb", "mysql")
UNITS = ("mariadb.service", "mysqld.service", "mysql.service")
DIAGNOSTICS = ("tail -n 60 /var/log/mysql/*.log /var/lib/mysql/*.err", "df -h /var/lib/mysql")

#: The client, under the name that it has there.
_CLIENT = "$(command -v mysql || command -v mariadb || echo mysql)"


def _sql(node: SmokeNode, text: str, options: str = "") -> CommandResult:
    """Run SQL as root of the server through its socket, or as *options* say."""
    done = node.run(
        f"{_CLIENT} {options} -N -B --default-character-set=utf8mb4 2>&1 <<'SQL'\n{text}\nSQL"
    )
    assert done.exit_status != 127, "there is no client mysql or mariadb: nothing was tested"
    return done


@dataclass(frozen=True)
class Database:
    """A database of ours, with a user of the same name; its login stands in *login*."""

    node: SmokeNode
    name: str
    login: str

    def check(self, text: str, why: str) -> str:
        """Return what SQL prints in it, as root; fail the check where the server refuses it."""
        done = _sql(self.node, text, f"-D {self.name}")
        assert done.ok, f"{why}: {done.output.strip()}"
        return done.output.strip()

    def as_user(self, text: str, login: str = "") -> CommandResult:
        """Run SQL over TCP as the user, with the login in the file *login*."""
        file = login or self.login
        return _sql(self.node, text, f"--defaults-extra-file={file} -h 127.0.0.1 --protocol=tcp")


def _login(name: str, password: str) -> bytes:
    return f"[client]\nuser={name}\npassword={password}\n".encode()


@pytest.fixture(scope="module")
def database(node: SmokeNode, module_undo: Undo) -> Database:
    """Make a database and a user that may do all in it."""
    name, password = f"yoctovirt_{secrets.token_hex(4)}", secrets.token_hex(12)
    login = f"/run/{name}"
    module_undo(
        f"rm -f {login} {login}.sql {login}.wrong\n{_CLIENT} -N -B <<'SQL'\n"
        f"DROP DATABASE IF EXISTS {name};\nDROP USER IF EXISTS '{name}'@'%';\nSQL"
    )
    made = _sql(node, f"CREATE DATABASE {name} CHARACTER SET utf8mb4;")
    assert made.ok, f"no database can be made: {made.output.strip()}"
    # The password is in files that only root reads: commands are recorded.
    node.put(_login(name, password), login, 0o600)
    user = f"'{name}'@'%'"
    text = f"CREATE USER {user} IDENTIFIED BY '{password}'; GRANT ALL ON {name}.* TO {user};"
    node.put(text.encode(), f"{login}.sql", 0o600)
    made = node.run(f"{_CLIENT} -N -B <{login}.sql 2>&1")
    assert made.ok, f"no user can be made: {made.output.strip()}"
    return Database(node, name, login)


def test_daemon(node: SmokeNode) -> None:
    """The server answers on its socket and has room for further connections."""
    done = _sql(
        node, "SHOW STATUS LIKE 'Threads_connected'; SHOW VARIABLES LIKE 'max_connections';"
    )
    assert done.ok, f"the server does not answer: {done.output.strip()}"
    told = dict(line.split("\t", 1) for line in done.output.splitlines() if "\t" in line)
    used, most = int(told["Threads_connected"]), int(told["max_connections"])
    assert used < most * 0.95, f"{used} of {most} connections are taken"


def test_round_trip(database: Database) -> None:
    """Rows come back as they went in; a transaction that is rolled back leaves nothing."""
    word = secrets.token_hex(16)
    database.check(
        f"CREATE TABLE kept (id INTEGER PRIMARY KEY, word VARCHAR(80));\n"
        f"INSERT INTO kept VALUES (1, '{word} äöü €');",
        "a table cannot be made and filled",
    )
    came = database.check("SELECT word FROM kept WHERE id = 1;", "it cannot be read")
    assert came == f"{word} äöü €", f"written {word} äöü €, read {came}"
    database.check(
        "BEGIN; INSERT INTO kept VALUES (2, 'never'); ROLLBACK;", "no transaction can be made"
    )
    count = database.check("SELECT COUNT(*) FROM kept;", "it cannot be counted")
    assert count == "1", f"a row was rolled back, the table has {count} rows instead of 1"


def test_login(node: SmokeNode, database: Database) -> None:
    """A user logs in over TCP with its password only, and comes to its own database only."""
    done = database.as_user(f"USE {database.name}; SELECT CURRENT_USER();")
    assert done.ok, f"no login over TCP: {done.output.strip()}"
    assert done.output.strip().startswith(f"{database.name}@"), (
        f"logged in as {done.output.strip()}, not as {database.name}"
    )
    done = database.as_user("SELECT COUNT(*) FROM mysql.user;")
    assert not done.ok, "a user reads the passwords of all users, in the database mysql"
    wrong = f"{database.login}.wrong"
    node.put(_login(database.name, secrets.token_hex(12)), wrong, 0o600)
    done = database.as_user("SELECT 1;", wrong)
    assert not done.ok, "a wrong password is accepted"
    assert "1045" in done.output, f"a wrong password should be refused: {done.output.strip()}"

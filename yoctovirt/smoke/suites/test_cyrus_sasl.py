"""Suite cyrus-sasl: mechanisms are there, and saslauthd tells right passwords from wrong ones."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.daemons import why_none_runs

pytestmark = pytest.mark.usefixtures("started")

COMMANDS = ("saslauthd",)
UNITS = ("saslauthd.service",)
DIAGNOSTICS = ("systemctl status saslauthd", "saslauthd -v", "ls -l /run/saslauthd /etc/sasldb2")

#: Mechanisms with a password; EXTERNAL and ANONYMOUS prove nothing of one.
_PASSWORD = {"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}
#: Ways of saslauthd to check a password, for which we can make a user.
_SYSTEM, _OF_OURS = ("pam", "shadow", "getpwent"), "sasldb"
#: What a login over PAM is called: not su, whose rules let root in without a password.
_SERVICE = "for name in sshd login other; do [ ! -e /etc/pam.d/$name ] || break; done; echo $name"
_MISSING = 127
#: What pluginviewer says of what is loaded and can be used: of what, and the names.
_LISTS = re.compile(
    r"^Installed and properly configured (.+) mechanisms are:[ \t\r]*\n(.*)$", re.MULTILINE
)
#: Debian and OpenEmbedded call it differently.
_VIEWER = "$(command -v saslpluginviewer || command -v pluginviewer || echo pluginviewer)"


@dataclass(frozen=True)
class Daemon:
    """A saslauthd that runs: how it checks passwords, and its socket."""

    mechanism: str
    folder: str


def _arguments(node: SmokeNode) -> Daemon:
    """Return what the saslauthd that runs was told (saslauthd(8): -a, -m)."""
    told = node.check("tr '\\0' ' ' </proc/$(pidof saslauthd | cut -d' ' -f1)/cmdline")
    mechanism = re.search(r" -a ?(\S+)", told)
    folder = re.search(r" -m ?(\S+)", told)
    return Daemon(mechanism[1] if mechanism else "", folder[1] if folder else "/var/run/saslauthd")


def _ask(node: SmokeNode, daemon: Daemon, user: str, secret: str, more: str = "") -> CommandResult:
    """Have the daemon check the password in the file *secret*."""
    done = node.run(
        f'testsaslauthd -f {daemon.folder}/mux -u {user} {more} -p "$(cat {secret})" 2>&1', 30
    )
    assert done.exit_status != _MISSING, "nothing was tested, the node lacks testsaslauthd"
    return done


def _said(done: CommandResult) -> str:
    return f"status {done.exit_status}, {done.output.strip() or '(no output)'}"


def _refused(done: CommandResult) -> bool:
    """Whether the daemon answered NO: that nothing came back is no refusal."""
    return not done.ok and "NO " in done.output and "OK " not in done.output


@pytest.fixture(scope="module")
def folder(node: SmokeNode, module_undo: Undo) -> str:
    """Return a folder for root only, with a made-up password in the file ``wrong``."""
    folder = f"/run/yv{secrets.token_hex(4)}"
    module_undo(f"rm -rf {folder}")
    node.check(f"mkdir -m 700 {folder}")
    node.put(secrets.token_hex(12).encode(), f"{folder}/wrong", 0o600)
    return folder


@dataclass(frozen=True)
class User:
    """A user of ours, for the daemon that is to let it in."""

    daemon: Daemon
    name: str
    secret: str  #: file with the password
    more: str  #: further arguments of testsaslauthd


@pytest.fixture(scope="module")
def user(node: SmokeNode, folder: str, module_undo: Undo) -> User:
    """Make a user where the daemon looks for one; where none of use runs, start one of ours."""
    name, secret = f"yv{secrets.token_hex(4)}", f"{folder}/secret"
    password = secrets.token_hex(12)
    node.put(password.encode(), secret, 0o600)
    running = not why_none_runs(node, "saslauthd")
    daemon = _arguments(node) if running else Daemon("", "")
    if daemon.mechanism in _SYSTEM:
        module_undo(f"id {name} >/dev/null 2>&1 || exit 0\nuserdel {name}")
        node.put(f"{name}:{password}\n".encode(), f"{folder}/chpasswd", 0o600)
        node.check(
            f"useradd -M -s /bin/false {name} && chpasswd <{folder}/chpasswd",
            why="no user can be made on the node",
        )
        service = node.check(_SERVICE).strip()
        return User(daemon, name, secret, f"-s {service}")
    if daemon.mechanism != _OF_OURS:
        daemon = Daemon(_OF_OURS, folder)
        module_undo(f"kill $(cat {folder}/saslauthd.pid 2>/dev/null) 2>/dev/null || true")
        node.check(
            f"saslauthd -a sasldb -m {folder} -n 1 </dev/null >/dev/null 2>&1 &&\n"
            f"for turn in 1 2 3 4 5 6 7 8 9; do\n  [ -S {folder}/mux ] && exit 0\n  sleep 1\n"
            "done\nfalse",
            why="saslauthd cannot be started with the mechanism sasldb",
        )
    module_undo(f"saslpasswd2 -d -u yoctovirt {name} 2>/dev/null || true")
    node.check(
        f"saslpasswd2 -p -c -u yoctovirt {name} <{secret}", why="no user can be made in sasldb"
    )
    return User(daemon, name, secret, "-r yoctovirt")


def test_mechanisms(node: SmokeNode) -> None:
    """The library loads mechanisms with a password, and the plugin that keeps users (sasldb)."""
    done = node.run(f"{_VIEWER} 2>&1")
    assert done.exit_status != _MISSING, "nothing was tested, the node lacks pluginviewer"
    listed = dict(_LISTS.findall(done.output))
    server = set(listed.get("SASL (server side)", "").split())
    assert server & _PASSWORD, (
        f"the library should have one of {sorted(_PASSWORD)}, it has {sorted(server) or 'none'}"
    )
    kept = listed.get("auxprop", "").split()
    assert "sasldb" in kept, f"the library has no plugin sasldb, it has {kept or 'none'}"


def test_sasldb(node: SmokeNode, folder: str) -> None:
    """A user is put into a database of users, is listed there, and is gone when it is deleted."""
    name, database = f"yv{secrets.token_hex(4)}", f"{folder}/users"
    node.check(
        f"saslpasswd2 -p -c -f {database} -u yoctovirt {name} <{folder}/wrong",
        why="no user can be made",
    )
    listed = node.check(f"sasldblistusers2 -f {database}", why="the users cannot be listed")
    assert f"{name}@yoctovirt: userPassword" in listed, (
        f"the user {name}@yoctovirt was made, listed is:\n{listed.strip() or '(nothing)'}"
    )
    node.check(f"saslpasswd2 -d -f {database} -u yoctovirt {name}", why="it cannot be deleted")
    left = node.run(f"sasldblistusers2 -f {database} 2>&1").output
    assert name not in left, f"a deleted user is still listed: {left.strip()}"


def test_daemon(node: SmokeNode, folder: str) -> None:
    """Where saslauthd is to run it does, and answers a made-up login with no."""
    wrong = why_none_runs(node, "saslauthd")
    if wrong:
        enabled = node.run(
            "systemctl is-enabled saslauthd 2>/dev/null || ls /etc/rc5.d/S*saslauthd 2>/dev/null"
        )
        if not enabled.ok:
            not_run(
                "saslauthd is not enabled on this node: it is looked at with one that the suite "
                "starts"
            )
        unit = node.run("systemctl is-active saslauthd; systemctl show -p SubState saslauthd")
        state = " ".join(unit.output.split())
        pytest.fail(f"saslauthd does not run: {wrong} (its unit: {state})", pytrace=False)
    done = _ask(node, _arguments(node), f"yv{secrets.token_hex(4)}", f"{folder}/wrong")
    assert _refused(done), f"a made-up login should be answered with NO, came {_said(done)}"


def test_login(node: SmokeNode, user: User) -> None:
    """The right password of a user lets in."""
    done = _ask(node, user.daemon, user.name, user.secret, user.more)
    assert done.ok, (
        f"the right password is refused (mechanism {user.daemon.mechanism}): {_said(done)}"
    )
    assert "OK " in done.output, f"the answer should be OK, came {_said(done)}"


def test_wrong_login(node: SmokeNode, folder: str, user: User) -> None:
    """A wrong password does not let in, nor does the right one for a name that nobody has."""
    for what, name, secret in (
        ("a wrong password", user.name, f"{folder}/wrong"),
        ("a user that does not exist", f"{user.name}x", user.secret),
    ):
        done = _ask(node, user.daemon, name, secret, user.more)
        assert _refused(done), f"{what} should be answered with NO, came {_said(done)}"

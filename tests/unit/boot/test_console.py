"""The console as pexpect sees it, and what it says while a node starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pexpect.exceptions import EOF, TIMEOUT

from tests.unit.boot.bridge import Bridge
from yoctovirt.boot.console import Console
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.signs import console_tail
from yoctovirt.boot.watch import ConsoleSilentError, wait_for_login
from yoctovirt.errors import BootError


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    made = Bridge(tmp_path / "serial.sock")
    yield made
    made.close()


@pytest.fixture
def console(bridge: Bridge) -> Iterator[Console]:
    made = Console(bridge.path)
    yield made
    made.close()


def alive() -> str | None:
    return None


# The console --------------------------------------------------------------------


def test_what_comes_is_found_and_what_is_sent_arrives(bridge: Bridge, console: Console) -> None:
    bridge.say(b"one two three")
    assert console.expect(["two", EOF, TIMEOUT], timeout=10) == 0
    assert console.before == "one "
    console.sendline("grüße")
    end = time.monotonic() + 10
    while bridge.got != "grüße\n".encode() and time.monotonic() < end:
        time.sleep(0.01)
    assert bridge.got == "grüße\n".encode()


def test_a_character_may_come_in_two_pieces(bridge: Bridge, console: Console) -> None:
    first, second = "€".encode()[:1], "€".encode()[1:]
    bridge.say(b"a" + first)
    assert console.expect(["a", TIMEOUT], timeout=10) == 0
    bridge.say(second + b"b")
    assert console.expect(["€b", TIMEOUT], timeout=10) == 0


def test_a_guest_never_waits_for_a_reader(bridge: Bridge, console: Console) -> None:
    # More than any buffer of a socket holds; nobody reads meanwhile.
    writer = threading.Thread(target=bridge.say, args=(b"0123456789abcdef" * (1 << 16),))
    writer.start()
    writer.join(30)
    assert not writer.is_alive()
    bridge.say(b"end")
    assert console.expect(["end", TIMEOUT], timeout=30) == 0


@pytest.mark.parametrize("before", [0, 100, 8185, 20_000, 700_000])
@pytest.mark.parametrize("after", [0, 8190, 16_384, 400_000])
def test_a_flood_hides_nothing(bridge: Bridge, console: Console, before: int, after: int) -> None:
    # pexpect looks at the end of what it is given: a word before that must be seen as well.
    bridge.say(b"." * before + b"login:" + b"." * after + b"end")
    end = time.monotonic() + 10
    while console.first_output is None and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(0.05)  # so that much of it waits at once
    assert console.expect(["login:", TIMEOUT], timeout=30) == 0
    assert console.before == "." * before
    assert console.expect(["end", TIMEOUT], timeout=30) == 0
    assert console.before == "." * after


def test_silence_is_a_timeout_and_the_end_is_an_end(bridge: Bridge, console: Console) -> None:
    assert not console.first_output
    assert console.expect(["x", EOF, TIMEOUT], timeout=0.1) == 2
    bridge.say(b"last words")
    bridge.hang_up()
    assert console.expect(["x", EOF, TIMEOUT], timeout=10) == 1
    assert console.before == "last words"
    assert console.first_output
    assert console.expect(["x", EOF, TIMEOUT], timeout=10) == 1


def test_a_closed_console_is_left_to_the_next(bridge: Bridge) -> None:
    first = Console(bridge.path)
    first.close()
    first.close()
    second = Console(bridge.path)
    end = time.monotonic() + 10
    while second.first_output is None and time.monotonic() < end:
        bridge.say(b"hello")  # to the first one, until its end is seen
        time.sleep(0.05)
    assert second.expect(["hello", TIMEOUT], timeout=10) == 0
    second.close()
    with pytest.raises(NodeUnreachableError, match="is closed"):
        second.send("x")


def test_a_path_longer_than_a_socket_may_have(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    with pytest.raises(NodeUnreachableError, match="cannot be opened"):
        Console(folder / "serial.sock")


# While a node starts ------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt",
    [
        b"\r\nDebian GNU/Linux 12 node ttyS0\r\n\r\nnode login: ",
        b"node login: [   12.3] random: crng init done\r\n",
        b"\x1b[0;32m  OK  \x1b[0m Started Getty\r\nqemux86-64 login: ",
        "Poky \u00b7 \ufffd\r\nqemux86-64 login: ".encode(),
    ],
)
def test_a_login_prompt_is_seen(bridge: Bridge, console: Console, prompt: bytes) -> None:
    bridge.say(b"[    0.0] Linux version 6.1\r\n" + prompt)
    wait_for_login(console, 10, alive)


def test_a_login_prompt_in_pieces(bridge: Bridge, console: Console) -> None:
    def speak() -> None:
        for piece in (b"node lo", b"gin", b": "):
            time.sleep(0.1)
            bridge.say(piece)

    speaker = threading.Thread(target=speak)
    speaker.start()
    wait_for_login(console, 10, alive)
    speaker.join()


@pytest.mark.parametrize(
    "text", ["Last login: Sat Nov 21", "systemd-logind: x", "login:", "relogin: "]
)
def test_what_is_no_login_prompt(bridge: Bridge, console: Console, text: str) -> None:
    bridge.say(text.encode() + b"\r\n")
    with pytest.raises(BootError, match="no login on the console within 0 s") as caught:
        wait_for_login(console, 0.4, alive)
    assert f"    | {text.strip()}" in caught.value.message
    assert "--login-timeout" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("[    1.2] Kernel panic - not syncing: Attempted to kill init!", "the kernel panicked"),
        ("Kernel panic - not syncing: VFS: Unable to mount root fs", "could not be mounted"),
        ('VFS: Cannot open root device "vda" or unknown-block(0,0)', "could not be mounted"),
        ("You are in emergency mode. After logging in", "emergency mode"),
        ("Give root password for maintenance", "emergency mode"),
        ("BusyBox v1.35\r\n(initramfs) ", "initramfs"),
        ("Out of memory and no killable processes", "ran out of memory"),
    ],
)
def test_what_ends_the_wait_at_once(
    bridge: Bridge, console: Console, text: str, meaning: str
) -> None:
    bridge.say(b"[ 1.0] before\r\n" + text.encode() + b"\r\n")
    start = time.monotonic()
    with pytest.raises(BootError, match=meaning) as caught:
        wait_for_login(console, 60, alive)
    assert time.monotonic() - start < 30
    assert "    | [ 1.0] before" in caught.value.message


def test_a_qemu_that_ends_is_asked_why(bridge: Bridge, console: Console) -> None:
    bridge.say(b"Booting from ROM..\r\n")
    threading.Timer(0.2, bridge.hang_up).start()
    with pytest.raises(BootError, match="QEMU ended while the node started: exit status 1: no") as (
        caught
    ):
        wait_for_login(console, 60, lambda: "exit status 1: no memory")
    assert "Booting from ROM" in caught.value.message


def test_a_runqemu_that_ends_while_the_console_stays(console: Console) -> None:
    with pytest.raises(BootError, match="QEMU ended while the node started: gone"):
        wait_for_login(console, 60, lambda: "gone")


def test_a_guest_without_a_sign_of_life(bridge: Bridge, console: Console) -> None:
    with pytest.raises(ConsoleSilentError, match="no sign of life on the console within 0 s"):
        wait_for_login(console, 60, alive, silent_limit=0.3)
    bridge.say(b"\x1b[2JSeaBIOS (version 1.16.2)\r\n\r\nBooting from ROM..\r\n")
    bridge.say(b"Probing EDD (edd=off to disable)... ")
    with pytest.raises(ConsoleSilentError, match="firmware's, which ends with 'Probing EDD"):
        wait_for_login(console, 60, alive, silent_limit=0.3)
    bridge.say(b"ok\r\n[    0.000000] Linux version 6.6\r\n")
    with pytest.raises(BootError, match="no login") as caught:
        wait_for_login(console, 1, alive, silent_limit=0.3)
    assert not isinstance(caught.value, ConsoleSilentError)


def test_a_flood_does_not_hide_the_prompt(bridge: Bridge, console: Console) -> None:
    bridge.say(b"".join(b"[%6d] line of the kernel\r\n" % number for number in range(40000)))
    bridge.say(b"node login: ")
    wait_for_login(console, 60, alive)


def test_the_tail_is_clean_and_short() -> None:
    text = "".join(f"line {number}\r\n" for number in range(100))
    text += "\x1b[0;1;31mFAILED\x1b[0m\x07 ü\x00\r\n\r\n"
    tail = console_tail(text)
    assert tail.splitlines()[-1] == "    | FAILED ü"
    assert len(tail.splitlines()) == 15
    assert console_tail("") == "    | (nothing)"

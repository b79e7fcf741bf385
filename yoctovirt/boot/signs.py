"""What console output means: lines that tell of a failure, and how far a node has come."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sign:
    """A kind of line that tells of a failure."""

    name: str  #: for allow-lists and records
    pattern: re.Pattern[str]
    meaning: str
    #: A host that is too slow causes it, too: under TCG it is told, and does not end the wait.
    of_time: bool = False


@dataclass(frozen=True)
class Finding:
    """A line that was found."""

    sign: Sign
    line: str
    seconds: float  #: after the start of the watch

    def __str__(self) -> str:
        """Return what it means, with the line."""
        return f"{self.sign.meaning} ({self.line.strip()[:160]})"


def _sign(name: str, pattern: str, meaning: str, of_time: bool = False) -> Sign:
    return Sign(name, re.compile(pattern), meaning, of_time)


#: The kernel's lines begin with a time, unless printk.time is off.
_K = r"(?:^|\[ *\d+\.\d+\](?:\[ *\w+\])? ?)"
#: In the order in which a line is held to them. Kernel: Documentation/admin-guide and
#: kernel/panic.c, watchdog.c, hung_task.c, mm/oom_kill.c; systemd: emergency.service.
SIGNS: tuple[Sign, ...] = (
    _sign("root", r"VFS: (?:Cannot open root device|Unable to mount root)"
          r"|Gave up waiting for root|ALERT!.* does not exist\. *Dropping"
          r"|dracut-initqueue.*could not boot|Cannot find .*rootfs.* file in /run/media",
          "the root file system could not be mounted"),
    _sign("panic", r"Kernel panic - not syncing", "the kernel panicked"),
    _sign("soft-lockup", r"BUG: soft lockup|hard LOCKUP|BUG: workqueue lockup"
          r"|rcu: INFO: rcu\w* .*detected (?:expedited )?stall"
          r"|rcu: INFO: rcu\w* self-detected stall",
          "a CPU of the node stands still", of_time=True),
    _sign("hung-task", r"INFO: task \S+ blocked for more than \d+ seconds",
          "a task of the kernel hangs", of_time=True),
    _sign("oops", _K + r"(?:BUG: (?:kernel NULL pointer|unable to handle)|Unable to handle kernel"
          r"|Internal error: |Oops(?:: | - )|general protection fault"
          r"|\w[\w ]+: [0-9a-f]{4} \[#\d+\])",
          "the kernel had an oops"),
    _sign("bug", _K + r"(?:kernel BUG at |BUG: )", "the kernel found a bug of its own"),
    _sign("memory", r"Out of memory and no killable processes|Out of memory: Killed process 1 "
          r"|System is deadlocked on memory", "the node ran out of memory"),
    _sign("emergency", r"[Yy]ou are in (?:emergency|rescue) mode|Welcome to emergency mode"
          r"|Give root password for (?:maintenance|login)|Press Enter for maintenance"
          r"|root account is locked|Entering (?:emergency|rescue) mode"
          r"|Reached target .*(?:Emergency|Rescue) Mode", "the node is in emergency mode"),
    _sign("initramfs", r"^\(initramfs\) |^dracut:/.*# |[Dd]ropping to (?:a|an emergency) shell",
          "the initramfs could not go on and shows a shell"),
    _sign("boot-loader", r"No bootable (?:device|option)|not a bootable disk|^grub rescue> "
          r"|Boot failed: ", "the firmware or the boot loader found nothing to start"),
    _sign("getty", r"INIT: Id \S+ respawning too fast", "init gave up what it was to keep running"),
)  # fmt: skip
#: Words of which one stands in each line that a sign or a phase looks for: in a flood of
#: output only lines that have one are looked at closely.
_NEAR = re.compile(
    r"panic|VFS: |root|ALERT|lockup|LOCKUP|stall|blocked for|BUG|Oops|Internal error|Unable to"
    r"|protection|\[#|memory|emergency|rescue|Emergency|Rescue|Press Enter|initramfs|dracut|ropping"
    r"|ootable|Boot failed|respawning|login:|Linux version|Booting Linux|systemd\[1\]|Welcome to"
    r"|INIT: version|as init process|rootfs"
)
#: The getty's question. What other services print may follow on the same line;
#: "Last login:" is what a shell says.
LOGIN = r"(?<!Last )\blogin: "
_LOGIN = re.compile(LOGIN)
_PHASES = (
    ("kernel", re.compile(r"Linux version \d|Booting Linux")),
    ("init", re.compile(r"systemd\[1\]: |Welcome to |INIT: version|Run \S+ as init process")),
)
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")
_UNPRINTABLE = re.compile(r"[^\t\n -~\u00a0-\uffff]")
#: A line that never ends is looked at in pieces of so many characters.
_LINE_LIMIT = 4096
#: Lines that are kept for messages.
_KEPT = 200


def clean(text: str) -> str:
    """Return *text* without escape codes and what else cannot be shown."""
    return _UNPRINTABLE.sub("", _ESCAPE.sub("", text).replace("\r", ""))


def console_tail(text: str, lines: int = 15) -> str:
    """Return the last *lines* of console output, free of escape codes, indented."""
    kept = [line for line in clean(text).splitlines() if line.strip()][-lines:]
    return "\n".join(f"    | {line}" for line in kept) or "    | (nothing)"


@dataclass
class ConsoleWatch:
    """Looks at console output as it comes; holds no more of it than a message needs.

    *allowed* are regular expressions: a line that one of them matches is no failure
    (``allowed_console`` of the role). *patient* is for hosts that are slow (TCG): what
    only says that time went by is noted in :attr:`remarks`, and no failure.
    """

    allowed: Iterable[str] = ()
    patient: bool = False
    clock: Callable[[], float] = time.monotonic
    findings: list[Finding] = field(default_factory=list)  #: of each kind the first
    remarks: list[Finding] = field(default_factory=list)
    login: bool = False  #: whether a getty has asked
    phases: dict[str, float] = field(default_factory=dict)  #: seconds after the start
    kernels: int = 0  #: how often a kernel has started
    bytes_seen: int = 0

    def __post_init__(self) -> None:
        """Set up what is no field."""
        self._start = self.clock()
        self._allowed = [re.compile(pattern) for pattern in self.allowed]
        self._line = ""
        self._kept: deque[str] = deque(maxlen=_KEPT)

    def feed(self, text: str) -> None:
        """Look at *text*, which came next."""
        if not text:
            return
        if "firmware" not in self.phases:
            self._reached("firmware")
        self.bytes_seen += len(text)
        whole, newline, rest = text.rpartition("\n")
        if newline:
            lines = (self._line + whole).split("\n")
            self._line = ""
            near = _NEAR.search(whole) is not None or bool(_NEAR.search(lines[0]))
            for line in lines if near else ():
                if _NEAR.search(line):
                    self._look(clean(line[-_LINE_LIMIT:]))
            self._kept.extend(line[-_LINE_LIMIT:] for line in lines[-_KEPT:])
        self._line = (self._line + rest)[-_LINE_LIMIT:]
        # Prompts end no line; what is found now is found again, and counted once.
        if self._line and _NEAR.search(self._line):
            self._look(clean(self._line), whole=False)

    def _look(self, line: str, whole: bool = True) -> None:
        if _LOGIN.search(line):
            self.login = True
            self._reached("login")
        for name, pattern in _PHASES:
            if pattern.search(line):
                self._reached(name)
                self.kernels += whole and name == "kernel" and "Linux version" in line
        for sign in SIGNS:
            if sign.pattern.search(line):
                # Half a line may be allowed by the rest of it.
                if whole or sign.name in ("initramfs", "boot-loader", "emergency"):
                    self._found(sign, line)
                return

    def _found(self, sign: Sign, line: str) -> None:
        if any(pattern.search(line) for pattern in self._allowed):
            return
        found = Finding(sign, line, round(self.clock() - self._start, 2))
        if self.patient and sign.of_time:
            if len(self.remarks) < 20:
                self.remarks.append(found)
        elif all(one.sign is not sign for one in self.findings):
            self.findings.append(found)

    def _reached(self, phase: str) -> None:
        self.phases.setdefault(phase, round(self.clock() - self._start, 2))

    @property
    def finding(self) -> Finding | None:
        """The first failure, None where there is none."""
        return self.findings[0] if self.findings else None

    @property
    def text(self) -> str:
        """What came last, for messages."""
        return "\n".join([*self._kept, self._line])

    def tail(self, lines: int = 15) -> str:
        """Return the last lines, clean and indented."""
        return console_tail(self.text, lines)

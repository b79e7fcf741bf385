"""Check out the pinned layers, from mirrors first, whole or not at all.

Each repository is fetched aside and renamed into place with the pinned commit
checked out, so that kas finds everything done and needs no network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from yoctovirt.base.files import Lock, make_folder
from yoctovirt.base.process import CommandLog, Guarded, missing_tool
from yoctovirt.base.screen import Screen
from yoctovirt.errors import InfrastructureError, UsageError

MIRRORS_VARIABLE = "YOCTOVIRT_LAYER_MIRRORS"
#: In a repository of ours: the commit that we have put there.
_OUR_REF = "refs/yoctovirt/pin"
_OF_A_HOOK = frozenset(
    ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
)
#: The user's own settings (proxies, credentials) count. A mirror may belong to another
#: user: that it is ours to read was decided by the one who named it.
_GIT_CONFIG = """\
{users}[safe]
\tdirectory = *
[advice]
\tdetachedHead = false
[gc]
\tauto = 0
"""


def _users_config() -> str:
    """Return git settings that include those of the user."""
    named = os.environ.get("GIT_CONFIG_GLOBAL")
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = [named] if named else [base / "git" / "config", Path.home() / ".gitconfig"]
    return "".join(f'[include]\n\tpath = "{file}"\n' for file in files)


@dataclass(frozen=True)
class Pin:
    """One repository of a configuration, at one commit."""

    name: str
    url: str
    commit: str
    branch: str | None


def pins_of(config: dict[str, Any]) -> list[Pin]:
    """Return the repositories of a flattened kas configuration.

    Raises UsageError for one that is not pinned to a full commit.
    """
    pins = []
    for name, entry in config.get("repos", {}).items():
        if not entry or not entry.get("url"):
            continue
        commit = str(entry.get("commit") or "")
        if len(commit) != 40 or any(c not in "0123456789abcdef" for c in commit):
            raise UsageError(
                f"repository {name} is not pinned: its commit is {commit or 'missing'!r}",
                "write the full 40 hexadecimal digits; a branch or a tag moves",
            )
        pins.append(Pin(name, entry["url"], commit, entry.get("branch")))
    return pins


def mirror_list(text: str | None = None) -> list[str]:
    """Return the entries of ``YOCTOVIRT_LAYER_MIRRORS``: folders or URL prefixes.

    They stand between white space, or between ``:`` where all are folders.
    """
    text = os.environ.get(MIRRORS_VARIABLE, "") if text is None else text
    words = text.split()
    if len(words) == 1 and "://" not in words[0]:
        words = [part for part in words[0].split(":") if part]
    return words


def candidates(url: str, mirrors: Iterable[str]) -> list[str]:
    """Return where *url* may be found: in each mirror in turn, the public URL last.

    Two repositories with one basename are kept apart: ``OWNER+NAME.git`` and
    ``OWNER/NAME.git`` are looked for before ``NAME.git``.
    """
    if "://" in url or not re.match(r"[^/]+:", url):
        path = url.split("://", 1)[-1].split("/", 1)[-1]
    else:
        path = url.partition(":")[2]  # user@host:path
    path = path.strip("/").removesuffix(".git")
    owner, _, base = path.rpartition("/")
    owner = owner.rpartition("/")[2]
    names = ([f"{owner}+{base}", f"{owner}/{base}"] if owner else []) + [base]
    found = []
    for mirror in mirrors:
        if "://" in mirror:
            found += [f"{mirror.rstrip('/')}/{name}.git" for name in names]
            continue
        for name in names:
            for folder in (Path(mirror) / f"{name}.git", Path(mirror) / name):
                if folder.is_dir():
                    found.append(str(folder.absolute()))
    return [*dict.fromkeys(found), url]


class Checkout:
    """Makes the repositories of one release below *folder*."""

    def __init__(self, folder: Path, log: CommandLog, screen: Screen) -> None:
        self._folder = folder
        self._log = log
        self._screen = screen
        self._config = ""
        #: Repositories of the last call whose commit is not on their branch.
        self.branchless: set[str] = set()

    def all(self, pins: Iterable[Pin], mirrors: list[str] | None = None) -> list[str]:
        """Make sure that every pin is checked out; return warnings.

        Raises InfrastructureError where a repository or commit is found nowhere: which,
        what was tried, what to set. Raises UsageError where work of the user's own would
        be lost.
        """
        self.branchless = set()
        if shutil.which("git") is None:
            raise missing_tool("git")
        make_folder(self._folder)
        mirrors = mirror_list() if mirrors is None else mirrors
        absent = [entry for entry in mirrors if "://" not in entry and not Path(entry).is_dir()]
        if absent:
            raise UsageError(f"{MIRRORS_VARIABLE} names {absent[0]}, which is no folder")
        lock = Lock(self._folder / ".lock")
        if not lock.acquire():
            self._screen.note("another checkout is running here: waiting for it")
            lock.acquire(wait=True)
        warnings = []
        try:
            with tempfile.NamedTemporaryFile("w", prefix="yoctovirt-git-") as config:
                config.write(_GIT_CONFIG.format(users=_users_config()))
                config.flush()
                self._config = config.name
                for stale in self._folder.glob(".tmp-*"):
                    shutil.rmtree(stale, ignore_errors=True)
                for pin in pins:
                    warnings += self._one(pin, mirrors)
        finally:
            lock.release()
        return warnings

    def _one(self, pin: Pin, mirrors: list[str]) -> list[str]:
        final = self._folder / pin.name
        if self._stands(final, pin):
            return [*self._changes_warning(final, pin), *self._branch_warning(final, pin)]
        sources = candidates(pin.url, mirrors)
        if final.exists():
            self._refuse_to_lose(final)
            # What was fetched for another pin may hold this one, too.
            sources.insert(0, str(final))
        work = Path(tempfile.mkdtemp(prefix=f".tmp-{pin.name}-", dir=self._folder))
        try:
            reasons = []
            for source in sources:
                self._screen.status(f"{pin.name} from {source}")
                reason = self._fetch(work / "git", pin, source)
                if reason is None:
                    self._git(work / "git", "checkout", "-q", "--detach", pin.commit)
                    self._git(work / "git", "update-ref", _OUR_REF, pin.commit)
                    if final.exists():
                        final.rename(work / "old")
                    (work / "git").rename(final)
                    self._screen.note(f"{pin.name}: {pin.commit[:12]} from {source}")
                    return self._branch_warning(final, pin)
                if source != str(final):
                    reasons.append(f"  {source}: {reason}")
                shutil.rmtree(work / "git", ignore_errors=True)
            raise InfrastructureError(
                f"repository {pin.name} at {pin.commit} is found nowhere; tried:\n"
                + "\n".join(reasons),
                f"set {MIRRORS_VARIABLE} to a folder of bare repositories that has it "
                f"({pin.name}.git), or to a URL prefix",
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def exactly_at(self, pin: Pin) -> bool:
        """Whether the checkout is at the commit of *pin*, and not on what kas has patched."""
        final = self._folder / pin.name
        on_branch = self._output(final, "symbolic-ref", "--short", "HEAD")
        return self._output(final, "rev-parse", "HEAD") == pin.commit and not on_branch.startswith(
            "patched-"
        )

    def _stands(self, final: Path, pin: Pin) -> bool:
        """Whether *final* stands at the pin, or where kas has put its patches on it."""
        if not (final / ".git").exists():
            return False
        if self._output(final, "rev-parse", "HEAD") == pin.commit:
            return True
        return self._output(final, "symbolic-ref", "--short", "HEAD") == f"patched-{pin.commit}"

    def _refuse_to_lose(self, final: Path) -> None:
        """Raise UsageError where *final* holds anything that did not come from a fetch of ours."""
        if not (final / ".git").exists():
            raise UsageError(f"{final} is in the way: it is no git repository", "move it away")
        changed = self._changes(final)
        if changed:
            raise UsageError(
                f"{final} is at another commit and has changes of yours: {', '.join(changed[:5])}",
                "commit them elsewhere, or remove the folder",
            )
        # What kas has put patches on is not the user's.
        patched = self._output(final, "symbolic-ref", "--short", "HEAD").startswith("patched-")
        heads = ["--exclude=patched-*", "--branches", *([] if patched else ["HEAD"])]
        own = self._output(
            final, "rev-list", "--max-count=5", "--abbrev-commit", *heads,
            "--not", "--remotes", f"--glob={_OUR_REF}*",
        )  # fmt: skip
        if own:
            raise UsageError(
                f"{final} is at another commit and has commits of yours: {', '.join(own.split())}",
                "push them elsewhere, or remove the folder",
            )

    def _changes(self, final: Path) -> list[str]:
        """Return the files that were changed or added; what Python compiled does not count."""
        lines = self._output(final, "status", "--porcelain", "--untracked-files=all").splitlines()
        names = [line.lstrip()[2:].strip() for line in lines]
        return [name for name in names if not name.endswith(".pyc")]

    def _changes_warning(self, final: Path, pin: Pin) -> list[str]:
        changed = self._changes(final)
        if not changed:
            return []
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return [
            f"{pin.name}: {final} has changes of yours, which are built: "
            f"{', '.join(changed[:3])}{more}"
        ]

    def _fetch(self, work: Path, pin: Pin, source: str) -> str | None:
        """Fetch *pin* from *source* into *work*; return the reason where that fails."""
        self._git(self._folder, "init", "-q", str(work))
        self._git(work, "remote", "add", "origin", pin.url)
        fetch = ("fetch", "-q", "--no-tags", "--update-shallow", source)
        reason = "it names no branch"
        if pin.branch:
            # In a checkout of ours, what kas calls its branches is older than what was fetched.
            ours = source == str(self._folder / pin.name)
            theirs = f"refs/{'remotes/origin' if ours else 'heads'}/{pin.branch}"
            ref = f"+{theirs}:refs/remotes/origin/{pin.branch}"
            reason = self._try(work, *fetch, ref)
        if not reason and not self._try(work, "cat-file", "-e", f"{pin.commit}^{{commit}}"):
            return None
        # The branch is gone or was moved: the commit itself may still be there.
        if self._try(work, *fetch, pin.commit):
            return reason or f"it does not have commit {pin.commit[:12]} (branch {pin.branch})"
        return None

    def _branch_warning(self, final: Path, pin: Pin) -> list[str]:
        if pin.branch and self._try(
            final, "merge-base", "--is-ancestor", pin.commit, f"origin/{pin.branch}"
        ):
            self.branchless.add(pin.name)
            return [
                f"{pin.name}: commit {pin.commit[:12]} is not on branch {pin.branch} of where it "
                "came from; it is used without the branch"
            ]
        return []

    def _try(self, folder: Path, *arguments: str) -> str:
        """Run git; return '' where it succeeds, its last line of error where not."""
        argv = ["git", "-C", str(folder), *arguments]
        self._log.note(argv)
        with tempfile.TemporaryFile() as output:
            status = self._wait(argv, output)
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if status == 0:
            return ""
        lines = [line for line in text.splitlines() if line.startswith(("fatal", "error"))]
        return (lines or text.splitlines() or [f"exit status {status}"])[0]

    def _wait(self, argv: list[str], output: IO[bytes]) -> int:
        env = self._environment()
        if argv[3] not in ("fetch", "checkout"):
            quick = subprocess.run(argv, env=env, stdout=output, stderr=output, check=False)
            return quick.returncode
        # What takes its time is not to outlive us.
        job = Guarded(argv, env=env, output=output)
        try:
            status = job.wait()
            job.close()
        except BaseException:
            job.stop()
            raise
        return status

    def _git(self, folder: Path, *arguments: str) -> None:
        reason = self._try(folder, *arguments)
        if reason:
            hint = "free some space" if "No space left" in reason else ""
            raise InfrastructureError(f"git {arguments[0]} in {folder} failed: {reason}", hint)

    def _output(self, folder: Path, *arguments: str) -> str:
        with suppress(subprocess.CalledProcessError):
            return subprocess.run(
                ["git", "-C", str(folder), *arguments],
                env=self._environment(), capture_output=True, text=True, errors="replace",
                check=True,
            ).stdout.rstrip()  # fmt: skip
        return ""

    def _environment(self) -> dict[str, str]:
        # Called by a git hook we must not work on the repository of the hook.
        env = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
        env.setdefault("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
        env.setdefault("GIT_HTTP_LOW_SPEED_TIME", "60")
        return {**env, "GIT_CONFIG_GLOBAL": self._config, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

"""``yoctovirt build quick`` beside plain ``kas build`` of the same file: cold, and again.

Both have the layers and the downloads of a first build, which is not counted, and a build
directory and an sstate cache of their own. "Cold" is without these two. The layers come from
``YOCTOVIRT_LAYER_MIRRORS`` or the public hosts; as root, ``YOCTOVIRT_BUILD_USER`` (default:
yoctovirt-build, made by ``scripts/host-setup layers``) runs bitbake.
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers import as_installed

COLD_ROUNDS = 4
NOOP_ROUNDS = 5
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def timed(argv: list[str], env: dict[str, str], cwd: Path) -> float:
    """Return the seconds that *argv* takes; what it prints is shown where it fails."""
    start = time.perf_counter()
    done = subprocess.run(argv, env=env, cwd=cwd, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(argv)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n"
                 f"{done.stderr[-4000:]}")  # fmt: skip
    return time.perf_counter() - start


class Ours:
    """A workspace of yoctovirt."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self._argv = [sys.executable, "-m", "yoctovirt", "--workspace", str(workspace)]
        self._env = as_installed()  # the first build writes the bytecode
        if os.geteuid() == 0:
            self._env.setdefault("YOCTOVIRT_BUILD_USER", "yoctovirt-build")

    def build(self) -> float:
        return timed([*self._argv, "build", "quick"], self._env, self.workspace.parent)

    def forget(self) -> None:
        for name in ("build-quick", "sstate-cache", "hashserv"):
            shutil.rmtree(self.workspace / name, ignore_errors=True)

    def kas(self) -> tuple[dict[str, str], list[str]]:
        """Return environment and command of the kas that the last build has called."""
        record = max((self.workspace / "runs").glob("*-build-quick"))
        (line,) = [text for text in (record / "commands.log").read_text().splitlines()
                   if " kas build " in text]  # fmt: skip
        words = shlex.split(line.partition(" ")[2])
        env = {}
        while "=" in words[0]:
            name, _, env[name] = words.pop(0).partition("=")
        return env, words


class Plain:
    """The same call of kas without what yoctovirt puts into it."""

    def __init__(self, ours: Ours, folder: Path) -> None:
        env, words = ours.kas()
        end = words.index("--", words.index("kas")) if "--" in words[words.index("kas") :] else None
        words = words[:end]
        if "--skip" in words:
            at = words.index("--skip")
            del words[at : at + 2]
        self.argv, self.folder = words, folder
        self.build_dir, self.sstate = folder / "build", folder / "sstate-cache"
        self.env = {"PATH": PATH, "HOME": str(folder), "LANG": "en_US.UTF-8",
                    "LC_ALL": "en_US.UTF-8", **env, "KAS_BUILD_DIR": str(self.build_dir),
                    "SSTATE_DIR": str(self.sstate)}  # fmt: skip
        self._owner = ours.workspace / "layers" / "scarthgap"

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in (self.folder, self.build_dir, self.sstate):
            path.mkdir()
            owner = self._owner.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def build(self) -> float:
        return timed(self.argv, self.env, self.folder)


def in_turn(turn: int, ours: Ours, plain: Plain) -> tuple[float, float]:
    """Build both, ours first in every other *turn*: the second finds more in the page cache."""
    if turn % 2:
        mine = ours.build()
        return mine, plain.build()
    peer = plain.build()
    return ours.build(), peer


def main() -> None:
    # Below /var/tmp: /tmp may be small, and bitbake's user must be able to enter it.
    with tempfile.TemporaryDirectory(prefix="yoctovirt-benchmark-", dir="/var/tmp") as folder:
        base = Path(folder)
        base.chmod(0o755)
        ours = Ours(base / "ours")
        print(f"first build, not counted: {ours.build():.1f} s", flush=True)
        plain = Plain(ours, base / "plain")
        ratios = []
        for turn in range(COLD_ROUNDS):
            ours.forget()
            plain.forget()
            os.sync()  # the removal of gigabytes is nobody's time
            mine, peer = in_turn(turn, ours, plain)
            ratios.append(mine / peer)
            print(f"cold: yoctovirt {mine:6.1f} s   kas {peer:6.1f} s   {mine / peer:5.3f}",
                  flush=True)  # fmt: skip
        differences = []
        for turn in range(NOOP_ROUNDS):
            mine, peer = in_turn(turn, ours, plain)
            differences.append(mine - peer)
            print(f"nothing to do: yoctovirt {mine:5.2f} s   kas {peer:5.2f} s   "
                  f"{mine - peer:+5.2f} s", flush=True)  # fmt: skip
        ratio, difference = statistics.median(ratios), statistics.median(differences)
        print(f"cold, median: {ratio:.3f} of plain kas (goal: at most 1.03)")
        print(f"nothing to do, median: {difference:+.2f} s (goal: at most 1 s)")


if __name__ == "__main__":
    main()

"""The layers on disk: made aside under a lock, renamed when they are whole, never changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.plan import HERE, Layer, Plan
from yoctovirt.base.files import Lock, make_folder
from yoctovirt.base.process import Guarded
from yoctovirt.build.debian.hostapt import HostApt

#: Documentation that nobody reads on a node, and a database that need not outlive a power cut.
_DPKG = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "force-unsafe-io",
)
#: Mounts of its own, and no process of it left when it ends.
_CONFINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


class LabError(Exception):
    """The lab cannot be built or started."""


class Store:
    """A folder of layers: ``<name>-<key>/tree`` each."""

    def __init__(self, folder: Path, host: HostApt, plan: Plan) -> None:
        self.folder = make_folder(folder, 0o700)
        self._host = host
        self._plan = plan
        self.log = folder / "build.log"

    def tree(self, layer: Layer) -> Path:
        """Return where the tree of *layer* is, or will be."""
        return self.folder / f"{layer.name}-{layer.key}" / "tree"

    def have(self, layer: Layer) -> bool:
        return self.tree(layer).is_dir()

    @contextmanager
    def making(self, layer: Layer) -> Iterator[Path | None]:
        """Yield a folder to make *layer* in; it is taken over where nothing is raised.

        None where another one has made it meanwhile.
        """
        lock = Lock(self.folder / f"{layer.name}.lock")
        lock.acquire(wait=True)
        try:
            if self.have(layer):
                yield None
                return
            for stale in self.folder.glob(f".tmp-{layer.name}-*"):
                shutil.rmtree(stale)
            aside = Path(tempfile.mkdtemp(prefix=f".tmp-{layer.name}-", dir=self.folder))
            aside.chmod(0o755)
            try:
                (aside / "tree").mkdir()
                (aside / "tree").chmod(0o755)
                (aside / "work").mkdir()
                (aside / "root").mkdir()
                yield aside
                shutil.rmtree(aside / "work")
                (aside / "root").rmdir()
                aside.rename(self.tree(layer).parent)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        finally:
            lock.release()

    def make_packages(
        self, layer: Layer, below: tuple[Layer, ...], say: Callable[[str], None]
    ) -> None:
        """Make *layer*, which consists of packages, upon those *below*."""
        with self.making(layer) as aside:
            if aside is None:
                return
            begun = time.monotonic()
            if layer.kind == "base":
                self._bootstrap(layer, aside)
            else:
                self._install(layer, below, aside)
            say(f"packages {layer.name}: {time.monotonic() - begun:.0f} s")

    def prune(self) -> None:
        """Remove layers that the plan has not: those of other packages, of an older script."""
        wanted = {self.tree(layer).parent for node in self._plan.nodes for layer in node.layers}
        for path in self.folder.iterdir():
            if re.fullmatch(r".+-[0-9a-f]{12}", path.name) and path not in wanted:
                shutil.rmtree(path)

    def _bootstrap(self, layer: Layer, aside: Path) -> None:
        self._run(
            [
                *_CONFINED[:2],
                "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
                f"--include={','.join(layer.packages)}",
                '--aptopt=APT::Install-Recommends "false"',
                '--aptopt=Acquire::Languages "none"',
                *(f"--dpkgopt={option}" for option in _DPKG),
                self._plan.suite, str(aside / "tree"), *map(str, self._host.sources),
            ],
            aside, {"TMPDIR": str(aside / "work")},
        )  # fmt: skip

    def _install(self, layer: Layer, below: tuple[Layer, ...], aside: Path) -> None:
        program = "added.sh" if layer.kind == "added" else "packages.sh"
        mounted = f"mount -t overlay overlay -o {overlay_options(self.lowers(below), aside)} "
        script = (
            f'set -e; {mounted} {aside}/root; printf %s "$1" | '
            f'{{ shift; exec sh {HERE}/{program} {aside}/root "$@"; }}'
        )
        self._run(
            [*_CONFINED, "sh", "-c", script, "sh", self._plan.debconf, *layer.packages], aside, {}
        )

    def lowers(self, layers: tuple[Layer, ...]) -> list[Path]:
        """Return the trees of *layers* as overlayfs wants them: the topmost first."""
        return [self.tree(layer) for layer in reversed(layers)]

    def _run(self, argv: list[str], aside: Path, env: dict[str, str]) -> None:
        """Run *argv*, its output into the log; it ends with us, and takes *aside* along."""
        with self.log.open("ab") as output:
            start = output.tell()
            job = Guarded(argv, env={**os.environ, **env}, output=output, grace=2, discard=[aside])
            try:
                while True:
                    try:
                        status = job.wait(1)
                        break
                    except subprocess.TimeoutExpired:
                        continue
                job.close()
            except BaseException:
                job.stop()
                raise
        if status:
            text = self.log.read_bytes()[start:].decode(errors="replace")
            end = "\n".join(text.strip().splitlines()[-15:])
            raise LabError(f"{argv[0]} ended with status {status} (log: {self.log}):\n{end}")


def overlay_options(lowers: list[Path], aside: Path) -> str:
    """Return the options of an overlay that is written to ``tree`` of *aside*."""
    lower = ":".join(map(str, lowers))
    return f"lowerdir={lower},upperdir={aside}/tree,workdir={aside}/work"

"""Build the lab's nodes where their layers are missing, start them, stop them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from tests.lab.plan import HERE, LabNode, Layer, Plan, hosts_file, read_plan
from tests.lab.store import LabError, Store, overlay_options
from yoctovirt.base.files import Lock, locked
from yoctovirt.base.process import Guarded
from yoctovirt.build.debian.hostapt import find_host_apt
from yoctovirt.config.workspace import find_workspace

#: Of the host, in the network of the nodes. There is one lab at a time.
HOST_CARD = "yvlab"
#: Units that would take the host's devices, or need what the kernel of a container has not.
MASKED = (
    "systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
    "systemd-udev-trigger.service", "systemd-networkd.service", "networking.service",
    "iscsid.socket", "iscsid.service", "open-iscsi.service", "lvm2-lvmpolld.socket",
    "run-rpc_pipefs.mount", "rpc-statd-notify.service", "apt-daily.timer",
    "apt-daily-upgrade.timer", "getty@tty1.service",
)  # fmt: skip
#: Seconds until sshd of a node answers, on a machine with much else to do.
START = 240.0
#: Seconds that one script of tests/lab/setup may take there.
SETUP = 2400.0


_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Lab:
    """Nodes of the plan, running until :meth:`close`, or until this process ends.

    *lock* is held for as long as anything of it is there.
    """

    def __init__(
        self, store: Store, plan: Plan, lock: Lock, say: Callable[[str], None] = _say
    ) -> None:
        self._store = store
        self._plan = plan
        self._lock = lock
        self._say = say
        self._job: Guarded | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="yoctovirt-lab-", dir=store.folder))
        self.key = store.folder / "id_ed25519"

    def build(self, names: Sequence[str]) -> None:
        """Make all layers of the nodes *names* that are missing."""
        self._make_key()
        for node in self._nodes(names):
            for number, layer in enumerate(node.layers):
                below = node.layers[:number]
                if self._store.have(layer):
                    continue
                if layer.kind == "setup":
                    self._set_up(node, layer, below)
                else:
                    self._store.make_packages(layer, below, self._say)
        self._store.prune()

    def start(self, names: Sequence[str]) -> None:
        """Start the nodes *names* from their layers; what they write goes with the lab."""
        nodes = self._nodes(names)
        places = []
        for node in nodes:
            place = self.folder / node.name
            for part in ("tree", "work", "root"):
                (place / part).mkdir(parents=True)
            places.append((node, place, node.layers))
        self._start(places)
        for node in nodes:
            for url in node.answers:
                self._wait(lambda: _answered(url), f"{node.name}: no answer from {url}")  # noqa: B023

    def _nodes(self, names: Sequence[str]) -> list[LabNode]:
        known = {node.name: node for node in self._plan.nodes}
        return [known[name] for name in names]

    def _make_key(self) -> None:
        if not self.key.exists():
            aside = self.folder / "id"
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(aside)],
                check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            aside.with_suffix(".pub").rename(self.key.with_suffix(".pub"))
            aside.rename(self.key)

    def _set_up(self, node: LabNode, layer: Layer, below: tuple[Layer, ...]) -> None:
        """Make *layer*: start the node on those *below*, run the script, shut it down."""
        assert layer.script is not None
        with self._store.making(layer) as aside:
            if aside is None:
                return
            begun = time.monotonic()
            self._prepare(aside / "tree")
            self._start([(node, aside, below)], discard=[aside])
            try:
                self._run_script(node, layer.script)
            finally:
                self._end(in_order=sys.exc_info()[0] is None)
            self._say(f"set up {layer.name}: {time.monotonic() - begun:.0f} s")

    def _prepare(self, tree: Path) -> None:
        """Let us in, and keep systemd from what is the host's."""
        units = tree / "etc/systemd/system"
        units.mkdir(parents=True)
        for unit in MASKED:
            (units / unit).symlink_to("/dev/null")
        folder = tree / "root/.ssh"
        folder.mkdir(parents=True)
        (tree / "root").chmod(0o700)
        folder.chmod(0o700)
        shutil.copy(self.key.with_suffix(".pub"), folder / "authorized_keys")

    def _run_script(self, node: LabNode, script: Path) -> None:
        text = script.read_text(encoding="utf-8")
        with self._store.log.open("ab") as output:
            start = output.tell()
            output.write(f"\n### {node.name}: {script.name}\n".encode())
            output.flush()
            # From a file: a program in it that reads its standard input would take the rest.
            done = subprocess.run(
                [
                    *self.ssh(node.name),
                    f"cat >/run/setup && NODE_IP={node.address} bash -eu /run/setup </dev/null",
                ],
                input=text.encode(),
                stdout=output,
                stderr=output,
                timeout=SETUP,
                check=False,
            )
        if done.returncode:
            said = self._store.log.read_bytes()[start:].decode(errors="replace")
            end = "\n".join(said.strip().splitlines()[-20:])
            raise LabError(
                f"{script.name} on {node.name}: status {done.returncode} "
                f"(log: {self._store.log})\n{end}"
            )

    def _start(
        self, places: list[tuple[LabNode, Path, tuple[Layer, ...]]], discard: Sequence[Path] = ()
    ) -> None:
        ready, stopping = self.folder / "ready", self.folder / "stopping"
        for word in (ready, stopping):
            word.unlink(missing_ok=True)
        top = cgroup_mount() / f"yoctovirt-lab-{os.getpid()}"
        spec = {
            "address": self._plan.address,
            "host_card": HOST_CARD,
            "cgroup": str(top),
            "ready": str(ready),
            "stopping": str(stopping),
            "nodes": [
                {
                    "name": node.name,
                    "address": node.address,
                    "hosts": hosts_file(self._plan),
                    "options": overlay_options(self._store.lowers(layers), place),
                    "root": str(place / "root"),
                    "cgroup": str(top / node.name),
                    "console": str(self.folder / f"console-{node.name}.log"),
                    "script": str(HERE / "node.sh"),
                }
                for node, place, layers in places
            ],
        }
        with (self.folder / "inside.log").open("ab") as output:
            self._job = Guarded(
                [sys.executable, "-I", str(HERE / "inside.py"), json.dumps(spec)],
                output=output, grace=30, discard=[self.folder, *discard],
                lock=self._lock,
            )  # fmt: skip
        try:
            self._wait(ready.exists, "the nodes were not started")
            for node, _, _ in places:
                argv = [*self.ssh(node.name), "true"]
                self._wait(lambda: _succeeds(argv), f"{node.name} does not answer SSH")  # noqa: B023
        except BaseException:
            self._end(in_order=False)
            raise

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + START
        while not condition():
            status = self._job.poll() if self._job else 0
            if status is not None or time.monotonic() > end:
                logs = sorted(self.folder.glob("*.log"))
                said = "".join(f"\n{log.name}: {log.read_text()[-1500:]}" for log in logs)
                why = "its process has ended" if status is not None else f"within {START:.0f} s"
                raise LabError(f"{what} ({why}){said}")
            time.sleep(0.2)

    def ssh(self, name: str) -> list[str]:
        """Return the command that runs a command on a node, as root."""
        (node,) = self._nodes([name])
        return [
            "ssh", "-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "ConnectTimeout=10", f"root@{node.address}",
        ]  # fmt: skip

    def run(self, name: str, command: str, timeout: float = 120) -> str:
        """Return what *command* prints on a node; LabError where it does not exit with 0."""
        done = subprocess.run(
            [*self.ssh(name), command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        if done.returncode:
            raise LabError(f"{name}: {command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def address(self, name: str) -> str:
        """Return the address of a node, which this host reaches."""
        (node,) = self._nodes([name])
        return node.address

    @property
    def names(self) -> list[str]:
        """Names of all nodes that the plan has."""
        return [node.name for node in self._plan.nodes]

    def write_workspace(self, workspace: Path, names: Sequence[str]) -> None:
        """Describe the nodes *names*, which run, to yoctovirt: nodes.yml, and a role for each."""
        find_workspace(workspace, create=True)
        roles = workspace / "kas" / "inc"
        roles.mkdir(parents=True, exist_ok=True)
        nodes = {}
        for node in self._nodes(names):
            host_key = " ".join(self.run(node.name, "cat /etc/ssh/*_ed25519_key.pub").split()[:2])
            nodes[node.name] = {
                "ssh": f"root@{node.address}",
                "key": str(self.key),
                "host_key": host_key,
                "role": f"lab-{node.name}",
                # The services share the machine's CPUs with all other tests.
                "timeout_scale": 4,
            }
            role = {
                "description": f"Node {node.name} of the OpenStack lab",
                "builder": "debian",
                "promises": list(node.promises),
                "debian": {"packages": ["systemd"]},
            }
            (roles / f"lab-{node.name}.role.yml").write_text(yaml.safe_dump(role))
        (workspace / "nodes.yml").write_text(yaml.safe_dump({"nodes": nodes}))

    def _end(self, *, in_order: bool) -> None:
        if self._job is None:
            return
        job, self._job = self._job, None
        if in_order:
            (self.folder / "stopping").touch()
            with suppress(subprocess.TimeoutExpired):
                status = job.wait(300)
                job.close()
                if status:
                    log = (self.folder / "inside.log").read_text()
                    raise LabError(f"the nodes did not shut down in order ({status}): {log}")
                return
        job.stop()

    def close(self) -> None:
        """End all nodes at once, and remove what they wrote."""
        self._end(in_order=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def _succeeds(argv: list[str]) -> bool:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    return done.returncode == 0


def _answered(url: str) -> bool:
    """Whether a web server answers at *url*, with anything but an error of its own."""
    try:
        with _NO_PROXY.open(url, timeout=20) as answer:
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def cgroup_mount() -> Path:
    """Return where this host has the control groups of version 2."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind = line.split()[:3]
        if kind == "cgroup2":
            return Path(where)
    raise LabError("this host has no control groups of version 2, which systemd needs")


@contextmanager
def open_lab(folder: Path | None = None) -> Iterator[Lab]:
    """Yield the lab, with nothing running yet; at the end nothing of it runs any more.

    *folder* is where the layers are, by default ``lab`` of yoctovirt's cache.
    """
    host = find_host_apt()
    plan = read_plan(host)
    store = Store(folder or cache_folder(), host, plan)
    with locked(store.folder / "running.lock", "the lab is in use") as lock:
        for stale in store.folder.glob("yoctovirt-lab-*"):
            shutil.rmtree(stale)
        for stale in cgroup_mount().glob("yoctovirt-lab-*"):
            for empty, _, _ in os.walk(stale, topdown=False):
                Path(empty).rmdir()
        lab = Lab(store, plan, lock)
        try:
            yield lab
        finally:
            lab.close()


def cache_folder() -> Path:
    """Return where the layers are kept."""
    named = os.environ.get("YOCTOVIRT_CACHE_DIR")
    return (Path(named) if named else Path.home() / ".cache" / "yoctovirt") / "lab"

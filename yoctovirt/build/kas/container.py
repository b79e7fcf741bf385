"""Build in a container: kas-container, with the workspace at the same path inside as outside.

kas-container itself would mount build directory and caches at names of its own. At one path,
what is built (qemuboot.conf, deploy links, logs in messages) holds on both sides.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yoctovirt.base.process import CommandLog
from yoctovirt.build.kas.user import BuildUser
from yoctovirt.config.kasfile import kas_environment
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import InfrastructureError, UsageError

ENGINES = ("docker", "podman")
#: Value of the option where it is given without one.
ANY = "any"
#: In a build directory: made by builds in a container. Programs of both sides do not mix.
MARK = "built-in-a-container"
#: What the engines and kas-container read, besides what kas reads.
_KEPT = re.compile(
    r"DOCKER_\w+|CONTAINER_HOST|XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS"
    r"|KAS_CONTAINER_\w+|KAS_IMAGE_VERSION|REGISTRY_AUTH_FILE"
)
_ENGINE_SECONDS = 30.0


@dataclass(frozen=True)
class Container:
    """How kas is to be run in a container."""

    engine: str  #: ``docker`` or ``podman``
    program: Path  #: of the engine
    kas_container: Path
    name: str
    mounts: dict[Path, str] = field(default_factory=dict)  #: folder -> ``rw`` or ``ro``
    passed: tuple[str, ...] = ()  #: variables of the environment that kas-container leaves out

    def argv(self, words: list[str], ours: dict[str, str]) -> list[str]:
        """Return the command for ``kas WORDS`` with the environment *ours*."""
        runtime = [f"--name={self.name}"]
        for folder, mode in self.mounts.items():
            runtime += ["-v", f"{folder}:{folder}:{mode}"]
        # They stand behind kas-container's own, which name its mounts: the last one counts.
        for name in ("KAS_WORK_DIR", "KAS_BUILD_DIR", "DL_DIR", "SSTATE_DIR"):
            if name in ours:
                runtime += ["-e", f"{name}={ours[name]}"]
        runtime += [word for name in self.passed for word in ("-e", name)]
        return [str(self.kas_container), "--runtime-args", " ".join(runtime), *words]

    def environment(self, home: Path, ours: dict[str, str]) -> dict[str, str]:
        """Return what kas-container is run with."""
        env = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        env |= kas_environment(home)
        env["PATH"] = f"{self.program.parent}:{env['PATH']}"
        # DL_DIR and SSTATE_DIR of ours would be mounted elsewhere.
        kept = ("KAS_WORK_DIR", "GITCONFIG_FILE")
        return {**env, **{name: ours[name] for name in kept}, "KAS_CONTAINER_ENGINE": self.engine}

    def stop(self, user: BuildUser) -> None:
        """Stop the container where it has outlived the program that started it."""
        argv = user.argv([str(self.program), "stop", "-t", "15", self.name])
        subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=60, check=False,
        )  # fmt: skip


def find_engines(named: str) -> dict[str, Path]:
    """Return the programs of the engine *named*, or of all that are there (``any``).

    Raises InfrastructureError where there is none.
    """
    wanted = ENGINES if named == ANY else (named,)
    found = {engine: Path(program) for engine in wanted if (program := shutil.which(engine))}
    if not found:
        raise InfrastructureError(
            f"there is no {' or '.join(wanted)} on this host",
            f"install one (apt-get install {'podman' if named == ANY else wanted[0]}), or build "
            "without --container",
        )
    return found


def open_container(
    named: str,
    role: Role,
    workspace: Workspace,
    config: dict[str, Any],
    shared: dict[str, Path],
    user: BuildUser,
    log: CommandLog,
) -> Container:
    """Return the container for a build of the flattened kas file *config*.

    Raises InfrastructureError where there is no engine, or it does not answer, UsageError for
    the role ``quick`` in kas's own image.
    """
    engines = find_engines(named)
    if role.name == "quick" and not os.environ.get("KAS_CONTAINER_IMAGE"):
        raise UsageError(
            "role quick borrows apt, dpkg, pseudo and QEMU from the host, and kas's own container "
            "has not all of them",
            "build it without --container, or in an image of yours (KAS_CONTAINER_IMAGE)",
        )
    beside = Path(sys.executable).with_name("kas-container")
    script = str(beside) if beside.is_file() else shutil.which("kas-container")
    if script is None:
        raise InfrastructureError(
            "kas-container is not installed beside yoctovirt", "pip install kas"
        )
    engine, program = _answering(engines, user, log)
    mounts = {workspace.path: "rw"}
    for folder in shared.values():
        mounts[folder] = mounts[folder.resolve()] = "rw"  # in a workspace it may be a link
    for folder in _own_folders(config):
        mounts.setdefault(folder, "ro")
    below = {
        folder for folder, mode in mounts.items()
        if any(
            folder != other and folder.is_relative_to(other) and mounts[other] in ("rw", mode)
            for other in mounts
        )
    }  # fmt: skip
    env = kas_environment()
    return Container(
        engine=engine,
        program=program,
        kas_container=Path(script),
        name=f"yoctovirt-{role.name}-{os.getpid()}",
        mounts={folder: mode for folder, mode in mounts.items() if folder not in below},
        passed=tuple(sorted(name for name in config.get("env", {}) if name in env)),
    )


def _own_folders(config: dict[str, Any]) -> Iterator[Path]:
    """Yield the folders of this host that a build of *config* reads: layers, local mirrors."""
    for repo in (config.get("repos") or {}).values():
        path = Path((repo or {}).get("path") or "")
        if path.is_absolute():
            yield path
    text = " ".join(str(value) for value in config.get("env", {}).values())
    text += " ".join(str(value) for value in config.get("local_conf_header", {}).values())
    for match in re.findall(r"file://(/[^\s;\"']+)", text):
        folder = Path(match.removesuffix("/PATH"))
        if folder.is_dir():
            yield folder


def _answering(engines: dict[str, Path], user: BuildUser, log: CommandLog) -> tuple[str, Path]:
    """Return the first of *engines* that answers its user; InfrastructureError where none does."""
    reasons = {}
    for engine, program in engines.items():
        reasons[engine] = _no_answer(program, user, log)
        if not reasons[engine]:
            return engine, program
    who = user.name or "you"
    raise InfrastructureError(
        "; ".join(f"{engine} cannot be used by {who}: {why}" for engine, why in reasons.items()),
        "start it, and give that user the right to it (group docker)"
        if "docker" in reasons
        else "run 'podman info' as that user",
    )


def _no_answer(program: Path, user: BuildUser, log: CommandLog) -> str:
    argv = user.argv([str(program), "info"])
    log.note(argv)
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_ENGINE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {_ENGINE_SECONDS:.0f} s"
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"exit status {done.returncode}"


def check_mark(build_dir: Path, container: bool) -> None:
    """Raise UsageError where *build_dir* was used by builds of the other side.

    Programs that were built for the C library of one side may not run on the other.
    """
    mark = build_dir / MARK
    if list(build_dir.glob("tmp*")) and mark.exists() != container:
        here, there = ("outside", "in a container") if container else ("in a container", "outside")
        raise UsageError(
            f"{build_dir} was built {here}: what is in it may not run {there}",
            f"remove 'tmp*' in {build_dir} first (sstate keeps what both sides can use), or go on "
            "as before",
        )

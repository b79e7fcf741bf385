"""Build a deploy directory from Debian packages with mmdebstrap."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from yoctovirt.base.files import (
    Lock,
    disk_error,
    make_folder,
)
from yoctovirt.base.process import CommandLog, Guarded
from yoctovirt.base.screen import Screen
from yoctovirt.build.debian import layout, overlay
from yoctovirt.build.debian.failures import explain
from yoctovirt.build.debian.hostapt import HostApt, find_host_apt
from yoctovirt.build.debian.preflight import make_subject
from yoctovirt.build.deploydir import DeployDir, open_deploy_dir
from yoctovirt.config.roles import DebianImage, Role
from yoctovirt.doctor.preflight import before_build
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins.sources import offline

#: Raised when this module makes another image of the same inputs.
BUILDER_VERSION = 1
INITRD_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_HOOK = Path(__file__).with_name("hook.sh")


def cache_key(role: Role, host: HostApt) -> str:
    """Return the name of the cache entry: a hash of all that decides the image."""
    spec = _spec(role)
    inputs = {
        "builder": BUILDER_VERSION,
        "role": role.name,
        "machine": role.machine,
        "node": [role.node.memory, role.node.cpus],
        "debian": asdict(spec),
        "suite": [host.distribution, host.suite, host.kernel_package],
        "sources": [path.read_text(errors="replace") for path in host.sources],
        "files": [path.read_text() for path in (_HOOK, _HOOK.with_name("initrd-init.sh"))],
        "overlay": [
            overlay.MASKED,
            overlay.enabled(role),
            layout.CMDLINE,
            layout.XEN_CMDLINE,
            INITRD_MODULES,
        ],
        "templates": [
            v
            for k, v in vars(overlay).items()
            if isinstance(v, str) and k[0] == "_" and not k.startswith("__")
        ],
    }
    text = json.dumps(inputs, sort_keys=True)
    return f"{role.name}-{host.suite}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def build(
    role: Role,
    cache_dir: Path,
    log: CommandLog,
    screen: Screen,
    *,
    build_log: Path,
    force: bool = False,
    mode: str | None = None,
    preflight: bool = True,
) -> DeployDir:
    """Return the deploy directory of *role*, built where the cache has none.

    *mode* is mmdebstrap's (``root``, ``unshare``), by default what the user can; *preflight*
    says whether to look first if the host is fit for it.
    Raises InfrastructureError where the host lacks something, BuildError where
    the packages do not go together.
    """
    host = find_host_apt()
    key = cache_key(role, host)
    folder = make_folder(cache_dir / "debian", 0o700)
    final = folder / key
    if not force and (final / "SHA256SUMS").is_file():
        screen.note(f"taken from the cache: {final}")
        return open_deploy_dir(final)
    lock = Lock(folder / f"{key}.lock")
    if not lock.acquire():
        screen.note(f"another build of {key} is running ({lock.read()}): waiting for it")
        lock.acquire(wait=True)
    try:
        lock.write(f"pid {os.getpid()}")
        if not force and (final / "SHA256SUMS").is_file():
            screen.note(f"built meanwhile: {final}")
            return open_deploy_dir(final)
        for stale in folder.glob(f".tmp-{key}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        if offline():
            raise InfrastructureError(
                f"offline, and the cache has no image of role {role.name} for this host: {final}",
                "build it once with a network, or copy that folder from a host that has it",
            )
        if preflight:
            before_build(make_subject(role, cache_dir, cache_dir), screen)
        work = Path(tempfile.mkdtemp(prefix=f".tmp-{key}-", dir=folder))
        try:
            _bootstrap(role, host, work, log, screen, build_log, mode or _default_mode())
            # An entry that --force replaces may be in use: its files stay open where they are.
            if final.exists():
                final.rename(folder / f".tmp-{key}-old-{os.getpid()}")
            work.rename(final)
        finally:
            for left in folder.glob(f".tmp-{key}-*"):
                shutil.rmtree(left, ignore_errors=True)
        return open_deploy_dir(final)
    except OSError as error:
        raise disk_error(error, final) from error
    finally:
        lock.release()


def planned(role: Role, cache_dir: Path, *, force: bool) -> tuple[Path, list[str] | None]:
    """Return where the image of *role* will be, and the command that makes it.

    None for the command: the cache has the image. Nothing is written.
    """
    host = find_host_apt()
    final = cache_dir / "debian" / cache_key(role, host)
    if not force and (final / "SHA256SUMS").is_file():
        return final, None
    return final, _argv(role, host, _default_mode())


def _spec(role: Role) -> DebianImage:
    if role.debian is None:
        raise UsageError(f"role {role.name} is not built by the debian builder")
    return role.debian


def _default_mode() -> str:
    return "root" if os.geteuid() == 0 else "unshare"


def _path() -> str:
    """PATH with the administrator's folders, which a normal user's lacks on Debian."""
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"


def _own_mounts() -> list[str]:
    """Return the prefix of a command whose mounts shall end with its processes.

    As root mmdebstrap mounts into the tree, and where it is killed nobody would unmount. In a
    chroot whose root is no mount point, unshare cannot make its mounts private.
    """
    for prefix in (["unshare", "--mount"], ["unshare", "--mount", "--propagation", "unchanged"]):
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return []


def _argv(role: Role, host: HostApt, mode: str) -> list[str]:
    spec = _spec(role)
    excluded = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*",
                # Our initrd is made in the hook: the distribution's costs half a minute.
                "/etc/kernel/postinst.d/initramfs-tools")  # fmt: skip
    packages = [spec.kernel or host.kernel_package, "cpio", *spec.packages]
    if spec.hypervisor:
        packages.append(spec.hypervisor)
    return [
        *(_own_mounts() if mode == "root" else []),
        "mmdebstrap",
        "--variant=apt",
        f"--mode={mode}",
        "--format=null",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in excluded),
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=APT::Install-Recommends "false"',
        f"--customize-hook={_HOOK.read_text(encoding='utf-8')}",
        host.suite,
        "/dev/null",
        *map(str, host.sources),
    ]


@contextmanager
def _descriptors(work: Path, size_mib: int, tree: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield descriptors of the overlay tar, the output tar, and the image of the wanted size.

    Mode 0666 lets root of a user namespace, who is nobody here, open them again
    through /proc/self/fd; the folder above them (0700) keeps all others out. The
    numbers are high: mmdebstrap writes its own into ``sh`` redirections, and dash
    knows one digit only.
    """
    opened: list[int] = []
    try:
        given = os.memfd_create("yoctovirt-overlay")
        opened.append(_high(given))
        os.write(opened[0], tree)
        for name in ("out.tar", "rootfs"):
            path = work / name
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            opened.append(_high(fd))
            os.fchmod(opened[-1], 0o666)
        os.ftruncate(opened[2], size_mib << 20)
        yield opened[0], opened[1], opened[2]
    finally:
        for fd in opened:
            os.close(fd)


def _high(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
    finally:
        os.close(fd)


def _bootstrap(
    role: Role,
    host: HostApt,
    work: Path,
    log: CommandLog,
    screen: Screen,
    build_log: Path,
    mode: str,
) -> None:
    """Make the content of a deploy directory in *work*."""
    spec = _spec(role)
    keys = overlay.make_keys()
    tree = overlay.overlay_tar(overlay.overlay_files(role, keys))
    argv = _argv(role, host, mode)
    env = {"TMPDIR": str(work)} if mode == "root" else {}
    with _descriptors(work, spec.size_mib, tree) as (given, out, image):
        env |= {
            "PATH": _path(),
            "YV_IN": str(given),
            "YV_OUT": str(out),
            "YV_IMAGE": str(image),
            "YV_ENABLE": " ".join([*overlay.enabled(role), *spec.enable]),
            "YV_DISABLE": " ".join([*spec.disable, *spec.after_ssh]),
            "YV_MASK": " ".join(overlay.MASKED),
            "YV_MODULES": " ".join(INITRD_MODULES),
            "SOURCE_DATE_EPOCH": str(int(time.time())),
        }
        shown = {key: env[key] for key in ("TMPDIR",) if key in env}
        log.note(argv, env=env)
        # The hook is a page long; the record has it whole.
        short = [w if not w.startswith("--customize-hook=") else "--customize-hook=…" for w in argv]
        screen.command(CommandLog().note(short, env=shown))
        with build_log.open("ab") as output:
            _run(argv, {**os.environ, **env}, output, work, (given, out, image), build_log, screen)
    layout.unpack(work / "out.tar", work, bool(spec.hypervisor))
    layout.finish(role, host, work, keys)


def _run(
    argv: list[str],
    env: dict[str, str],
    output: IO[bytes],
    work: Path,
    fds: tuple[int, int, int],
    build_log: Path,
    screen: Screen,
) -> None:
    start = build_log.stat().st_size
    job = Guarded(argv, env=env, output=output, grace=2.0, discard=[work], pass_fds=fds)
    try:
        with build_log.open("rb") as seen:
            seen.seek(start)
            while job.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    job.wait(0.3)
                _show_progress(seen, screen)
        status = job.poll()
        job.close()
    except BaseException:
        job.stop()
        raise
    if status:
        with build_log.open("rb") as seen:
            seen.seek(start)
            text = seen.read().decode(errors="replace")
        raise explain(text, status or 0, build_log)


def _show_progress(seen: IO[bytes], screen: Screen) -> None:
    for line in seen.readlines():
        text = line.decode(errors="replace").strip()
        if text.startswith("I: "):
            screen.status(text.removeprefix("I: ").removeprefix("yoctovirt: "))

"""Which checks belong to which work, put together from the families."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from yoctovirt.config.kasfile import kas_environment
from yoctovirt.config.resources import data_root
from yoctovirt.doctor import boot, clock, disk, gitrepo, namespaces, resources, tools, user
from yoctovirt.doctor.packages import Manager, find_manager
from yoctovirt.doctor.result import Result, not_checked, ok
from yoctovirt.doctor.sanity import Demands, from_checkout, stored
from yoctovirt.doctor.subject import Subject

#: Names that the repository of openembedded-core has in our releases.
CORES = ("poky", "openembedded-core")
_CACHE_ELSEWHERE = "name another folder in YOCTOVIRT_CACHE_DIR"
_PROC_MOUNTS = Path("/proc/self/mounts")
_SUBIDS = (Path("/etc/subuid"), Path("/etc/subgid"))
#: What mmdebstrap and QEMU are looked for in besides PATH: Debian hides it from users.
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def tools_path(builder: str) -> str:
    """Return the PATH that *builder* gives to what it starts."""
    if builder == "kas":
        return kas_environment()["PATH"]
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:{_SBIN}"


def core_folder(subject: Subject) -> Path | None:
    """Return the checkout of the release's core in the workspace, None where there is none."""
    for name in CORES:
        folder = subject.workspace / "layers" / (subject.release or "-") / name
        if (folder / "meta").is_dir():
            return folder
    return None


def demands_of(subject: Subject) -> Demands | None:
    """Return what the release demands: of its checkout, else as stored."""
    if subject.builder != "kas" or subject.release is None:
        return None
    core = core_folder(subject)
    return (from_checkout(core) if core else None) or stored(subject.release)


def place_of(subject: Subject) -> Path:
    """Return the folder in which *subject* is built."""
    return subject.cache_dir if subject.builder == "debian" else subject.workspace


def quick_checks(subject: Subject, demands: Demands | None) -> list[Result]:
    """Return what takes no time: asked before every build."""
    place = place_of(subject)
    mask = user.current_umask()
    elsewhere = _CACHE_ELSEWHERE if subject.builder == "debian" else disk.ELSEWHERE
    results = [
        disk.space(place, subject.disk_gib, subject.fresh, elsewhere),
        disk.inodes(place, subject.disk_gib, subject.fresh),
        disk.letter_case(place),
        disk.executable(place, elsewhere),
        disk.name_length(place),
        *(one for name, folder in subject.caches.items()
          for one in disk.cache_space(name, folder, place)),
    ]  # fmt: skip
    memory, cpus = resources.read_memory(), resources.cpu_count()
    compiles = subject.builder == "kas" and not subject.quick
    results.append(resources.memory_for_build(memory, cpus, os.environ, compiles))
    if subject.builder != "kas":
        return [*results, clock.against_files(_dated(subject))]
    tmpdir = subject.build_dir / "tmp-glibc"
    results += [
        disk.file_system(place, _PROC_MOUNTS.read_text()),
        disk.characters(place, demands.ascii_path if demands else True),
        disk.path_length(tmpdir, demands.tmpdir_length if demands else 400),
        resources.cpus_for_threads(cpus, os.environ),
        user.not_root(subject.account),
        user.umask(mask),
        user.locale_there(demands.locale if demands else "en_US.UTF-8", find_manager()),
        clock.against_files(_dated(subject)),
    ]
    return results


def _dated(subject: Subject) -> Iterable[Path]:
    """Return files whose times tell when something was last done here."""
    yield from (subject.workspace, subject.workspace / "yoctovirt.yml", subject.build_dir)
    yield from (subject.build_dir / "conf", data_root() / "layers-manifest")
    layers = subject.workspace / "layers" / (subject.release or "-")
    if layers.is_dir():
        yield from layers.iterdir()


def slow_checks(subject: Subject, demands: Demands | None) -> list[Result]:
    """Return what starts programs: asked before a build where the answer is not kept."""
    manager = find_manager()
    path = subject.tools_path
    if subject.builder == "debian":
        return _debian_checks(subject, manager)
    results = [tools.shell(), tools.no_setuid(path)]
    if demands is None:
        results.append(
            not_checked("tools.host", f"what release {subject.release} demands is not known")
        )
    else:
        results += [
            tools.present("tools.host", demands.tools, path, manager, demands.source),
            tools.new_enough(demands.versions, path, manager, demands.source),
            tools.gnu_tar(path, manager),
            tools.perl_modules(path, manager),
        ]
    if subject.quick:
        why = "the role quick packs Debian's packages"
        results.append(tools.present("tools.quick", tools.QUICK_TOOLS, path, manager, why))
    results.append(namespaces.user_namespaces(subject.account))
    if subject.account is not None:
        folders = {
            subject.workspace: "-x",
            data_root() / "recipes-extra": "-r",
            Path(__file__): "-r",
        }
        results.append(user.may_enter(subject.account, folders))
    return results


def _debian_checks(subject: Subject, manager: Manager) -> list[Result]:
    root = os.geteuid() == 0
    wanted = [*tools.DEBIAN_TOOLS, *(() if root else ("newuidmap",))]
    why = "for an image of Debian packages"
    results = [tools.present("tools.host", wanted, subject.tools_path, manager, why)]
    if not root and subject.account is not None:
        account = subject.account
        results += [
            namespaces.user_namespaces(account, needed=True),
            namespaces.subordinate_ids(account.name, account.uid, _SUBIDS),
        ]
    return results


def boot_checks(memory_mib: int, machine: str | None) -> list[Result]:
    """Return what a node needs; *machine* is None where QEMU comes with the layers."""
    qemu = [] if machine is None else [tools.QEMU.get(machine, "qemu-system-x86_64")]
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return [
        tools.present("boot.tools", [*qemu, "qemu-img"], path, find_manager(), "for a boot"),
        resources.memory_for_node(resources.read_memory(), memory_mib),
    ]


def overlay_checks(nodes: Path) -> list[Result]:
    """Return whether what a node writes has its place below *nodes*."""
    return [disk.overlay_space(nodes), disk.letter_case(nodes)]


def examination(
    subject: Subject, demands: Demands | None, repositories: Sequence[Path], port: int | None
) -> list[Result]:
    """Return all checks of ``yoctovirt doctor`` that need no network."""
    results = [tools.own_python(), *quick_checks(subject, demands)]
    results += slow_checks(subject, demands)
    if subject.builder == "kas":
        results += [
            user.own_locale(os.environ, demands.locale if demands else "en_US.UTF-8"),
            user.search_path(os.environ),
            gitrepo.identity(subject.account),
            gitrepo.safe_directories(repositories, subject.account),
        ]
    results += boot_checks(subject.memory_mib, subject.machine)
    kvm = boot.kvm()
    results += [kvm, boot.tun(), boot.port(port)]
    if subject.guests and kvm.status == "ok":
        results.append(boot.nested())
    elif subject.guests:
        results.append(ok("boot.nested", "TCG offers the node a CPU with virtualization"))
    return results

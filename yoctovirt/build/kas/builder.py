"""Build a role with kas: layers, configuration, bitbake, deploy directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yoctovirt.base.files import Lock, disk_error, locked, make_folder, write_atomically
from yoctovirt.base.process import CommandLog, Guarded
from yoctovirt.base.screen import Screen
from yoctovirt.build.deploydir import DeployDir, open_deploy_dir
from yoctovirt.build.kas.caches import prepare_folders, settle_servers
from yoctovirt.build.kas.call import BitbakeCall
from yoctovirt.build.kas.container import MARK, Container, check_mark, open_container
from yoctovirt.build.kas.failures import explain
from yoctovirt.build.kas.figures import add_image
from yoctovirt.build.kas.follow import build_figures, follow
from yoctovirt.build.kas.preflight import check_host
from yoctovirt.build.kas.trace import Trace
from yoctovirt.build.kas.user import BuildUser, choose_build_user
from yoctovirt.build.kas.watch import Watch, watched
from yoctovirt.config.kasfile import choose_release, flatten, kas_environment, to_yaml
from yoctovirt.config.layers import Checkout, pins_of
from yoctovirt.config.matrix import refuse_unresolved
from yoctovirt.config.roles import Role
from yoctovirt.config.site import SHARED, load_site, shared_folders
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BuildError
from yoctovirt.pins.sources import offline

#: Seconds that bitbake's server has to write its caches after the build.
SERVER_SECONDS = 60.0
#: git's settings for kas: the layers may belong to another user.
GITCONFIG = "[safe]\n\tdirectory = *\n"
#: In a build directory: the release that is built there.
RELEASE_FILE = "release"


@dataclass(frozen=True)
class KasOptions:
    """What the user may change about a build."""

    release: str | None = None
    machine: str | None = None
    build_user: str | None = None
    extra: tuple[Path, ...] = ()  #: kas files of the user, merged last
    features: tuple[str, ...] = ()  #: optional features of the role
    bitbake: BitbakeCall = field(default_factory=BitbakeCall)
    preflight: bool = True  #: look first whether the host is fit for it
    container: str | None = None  #: engine to build with, or ``any``; None: on this host

    def names_anything(self) -> bool:
        """Whether the call asks for anything that only kas can do."""
        return bool(
            self.release
            or self.machine
            or self.extra
            or self.features
            or self.container
            or self.bitbake.names_anything()
        )


@dataclass(frozen=True)
class KasResult:
    """A finished build: where the image is, and what it took."""

    deploy: DeployDir | None  #: None where the call asked for something else than the image
    release: str
    config: dict[str, Any]
    figures: dict[str, int]
    runqemu: Path | None  #: of the release that the image was built with
    trace: Trace  #: what bitbake's events told


def build(
    role: Role,
    workspace: Workspace,
    options: KasOptions,
    log: CommandLog,
    screen: Screen,
    *,
    build_log: Path,
    record: Path,
) -> KasResult:
    """Build *role*, or what *options* ask of bitbake in its place.

    The flattened configuration is kept in *record* as ``kas.yml``. Raises UsageError for a
    wrong configuration, InfrastructureError for what the host or the network lacks,
    BuildError with the failed tasks, KeyboardInterrupt when bitbake has ended after Ctrl-C.
    """
    release, user = check_call(role, workspace, options)
    build_dir = build_dir_for(workspace, role.name, release)
    site = load_site(workspace.path)
    config = flatten(
        role, release, log,
        extra=options.extra, machine=options.machine, features=options.features, site=site,
    )  # fmt: skip
    shared = shared_folders(config, workspace.path)
    check_mark(build_dir, bool(options.container))
    box = None
    if options.container:
        box = open_container(options.container, role, workspace, config, shared, user, log)
    elif options.preflight:
        check_host(
            role, workspace, user, not list(build_dir.glob("tmp*")),
            release=release, build_dir=build_dir, caches=shared, screen=screen,
        )  # fmt: skip
    layers = workspace.path / "layers" / release
    make_folder(build_dir)
    busy = f"{build_dir} is in use: another build of {role.name} is running"
    with locked(workspace.path / f".{build_dir.name}.lock", busy) as lock:
        checkout = Checkout(layers, log, screen)
        checkout.make(config)
        for warning in (*site.left_out(offline()), *settle_servers(config)):
            screen.note(f"warning: {warning}")
        text = to_yaml(config)
        write_atomically(record / "kas.yml", text)
        source = make_folder(workspace.path / "config") / f"{role.name}-{release}.yml"
        write_atomically(source, text)
        write_atomically(build_dir / RELEASE_FILE, f"{release}\n")
        if box:
            write_atomically(build_dir / MARK, f"{box.engine}\n")
        share_hash_equivalence(workspace, build_dir, release)
        folders = [layers, build_dir, workspace.path / "hashserv", source.parent]
        user.take(folders, log)
        prepare_folders(shared, workspace, user, log)
        skip = () if kas_must_check_out(config, checkout) else ("--skip", "repos_checkout")
        with watched(build_dir, record, user, log, screen, workspace.path) as watch:
            call = options.bitbake.kas_words(str(source), ("-w", str(watch.events)))
            status, said = run_kas(
                ["build", *skip, *call],
                workspace, layers, build_dir, user, log, screen, build_log, lock,
                box=box, watch=watch,
            )  # fmt: skip
            watch.status = status
    if status:
        raise explain(said, status, build_log, layers=layers, build_dir=build_dir, caches=shared)
    figures = build_figures(said)
    wanted = options.bitbake.makes_image(config["target"])
    deploy = _find_deploy_dir(config, build_dir) if wanted else None
    if deploy is not None:
        add_image(record, deploy)
    return KasResult(deploy, release, config, figures, find_runqemu(layers), watch.trace)


def check_call(role: Role, workspace: Workspace, options: KasOptions) -> tuple[str, BuildUser]:
    """Return the release and the user of a build, asked before anything is written.

    Raises UsageError for a call that cannot be carried out, InfrastructureError where
    nobody may run bitbake.
    """
    options.bitbake.check()
    release = choose_release(role, options.release)
    if not options.extra:  # with files of their own users may have mended what was wrong
        refuse_unresolved(role, release, options.machine, options.features, workspace.path)
    return release, choose_build_user(options.build_user)


def build_dir_for(workspace: Workspace, role: str, release: str) -> Path:
    """Return the build directory of *role* on *release*.

    ``build-<role>`` belongs to the release that was built there first: what another one
    has left in ``conf`` and ``tmp`` breaks a build, so that gets ``build-<role>-<release>``.
    """
    first = workspace.build_dir(role)
    marker = first / RELEASE_FILE
    if marker.is_file() and marker.read_text().strip() != release:
        return workspace.build_dir(f"{role}-{release}")
    return first


def find_runqemu(layers: Path) -> Path | None:
    """Return the runqemu of the layers in *layers*."""
    for core in ("poky", "openembedded-core"):
        script = layers / core / "scripts" / "runqemu"
        if script.is_file():
            return script
    return None


def kas_must_check_out(
    config: dict[str, Any], checkout: Checkout, fetched: Collection[str] = ()
) -> bool:
    """Whether kas has more to do with the repositories than we have done.

    Those in *fetched* are taken to stand where they should. Its `git checkout` of what stands
    at its commit changes nothing, but locks the index: of two builds that start at once, one
    would die of the other's lock. Patches and signatures are left to kas, and so is the way
    back from what it had patched.
    """
    repos = [repo or {} for repo in config["repos"].values()]
    if any(repo.get("patches") or repo.get("signed") for repo in repos):
        return True
    return not all(pin.name in fetched or checkout.exactly_at(pin) for pin in pins_of(config))


def share_hash_equivalence(workspace: Workspace, build_dir: Path, release: str) -> None:
    """Let all build directories of a release use one hash equivalence database.

    bitbake has a variable for that from 2.18 on (BB_HASHSERVE_DB_DIR). Before, the
    server of each build opens ``hashserv.db`` in the cache folder: a link leads all
    of them to one SQLite database, which several processes may use at once (it is in
    write-ahead mode, and SQLite locks the file that the link names). Not of all
    releases: scarthgap's server converts the tables that kirkstone's needs, and drops them.
    """
    shared = make_folder(workspace.path / "hashserv" / release) / "hashserv.db"
    link = make_folder(build_dir / "cache") / "hashserv.db"
    try:
        if link.is_symlink() and link.resolve() == shared.resolve():
            return
        if link.exists() and not link.is_symlink() and not shared.exists():
            link.rename(shared)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(shared, link.parent))
    except OSError as error:
        raise disk_error(error, link) from error


def kas_call(
    words: list[str],
    workspace: Workspace,
    layers: Path,
    build_dir: Path,
    user: BuildUser,
    box: Container | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Return the command ``kas WORDS`` as *user* runs it, and what we add to its environment."""
    ours = {
        "KAS_WORK_DIR": str(layers),
        "KAS_BUILD_DIR": str(build_dir),
        # kas brings a HOME of its own, so that ~/.gitconfig does not count.
        "GITCONFIG_FILE": str(workspace.path / "config" / "gitconfig"),
        # They win over what the kas file has for them.
        **{name: os.environ[name] for name in SHARED if os.environ.get(name)},
    }
    return user.argv(box.argv(words, ours) if box else [sys.executable, "-m", "kas", *words]), ours


def run_kas(
    words: list[str],
    workspace: Workspace,
    layers: Path,
    build_dir: Path,
    user: BuildUser,
    log: CommandLog,
    screen: Screen,
    output_log: Path,
    lock: Lock,
    *,
    box: Container | None = None,
    watch: Watch | None = None,
) -> tuple[int, str]:
    """Run ``kas WORDS`` in *build_dir*, in the container *box* where there is one.

    Return its exit status and what it printed. The output is appended to *output_log*; *lock*
    is held until all of bitbake has ended, also where we are killed. Raises KeyboardInterrupt
    when bitbake has ended after Ctrl-C.
    """
    argv, ours = kas_call(words, workspace, layers, build_dir, user, box)
    write_atomically(workspace.path / "config" / "gitconfig", GITCONFIG)
    env = {**kas_environment(user.home), **ours}
    if box:
        env = box.environment(user.home, ours)
        ours = {name: env[name] for name in ("KAS_CONTAINER_ENGINE", "KAS_WORK_DIR")}
    screen.command(log.note(argv, env=ours))
    with output_log.open("ab") as output:
        start = output_log.stat().st_size
        job = Guarded(
            argv,
            cwd=build_dir,
            env=env,
            output=output,
            grace=15.0,
            linger=SERVER_SECONDS,
            # Where we are killed, the next build waits until all of this one has ended.
            lock=lock,
        )
        try:
            status = follow(job, output_log, start, screen, watch)
        except BaseException:
            if box:
                box.stop(user)
            raise
    with output_log.open("rb") as written:
        written.seek(start)
        return status, written.read().decode(errors="replace")


def _find_deploy_dir(config: dict[str, Any], build_dir: Path) -> DeployDir:
    machine, target = config["machine"], config["target"]
    image = target if isinstance(target, str) else target[0]
    folders = sorted(
        build_dir.glob(f"tmp*/deploy/images/{machine}"), key=lambda path: path.stat().st_mtime
    )
    if not folders:
        raise BuildError(
            f"the build of {image} left no deploy directory for {machine} in {build_dir}",
            "does the configuration set TMPDIR or DEPLOY_DIR elsewhere?",
        )
    return open_deploy_dir(folders[-1], f"{image}-{machine}")

"""The jobs of a pipeline, the same for every CI service: what each runs, and what it leaves."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from yoctovirt.config.cells import Cell
from yoctovirt.config.kasfile import choose_release
from yoctovirt.config.roles import Role
from yoctovirt.errors import UsageError

#: Where a job works, in the checkout. Without a dot: uploads of artifacts leave hidden folders out.
WORKSPACE, BUNDLES, LOCKS = "workspace", "bundles", "locks"
#: Folders of the workspace that the next run takes again.
CACHES = ("downloads", "sstate-cache", "hashserv")
BRANCH = "yoctovirt/pins"
#: What a test job may take.
TEST_HOURS = 4
#: In a clone of this repository: what the host lacks by apt, and a virtual environment.
SETUP = ("make .venv-stamps/run", 'export PATH="$PWD/.venv/bin:$PATH"')


@dataclass(frozen=True)
class Choices:
    """What the user has chosen about a pipeline."""

    image: str | None = None  #: container of the jobs; None: the runner itself
    build_runner: str | None = None  #: label of the runners that build
    test_runner: str | None = None  #: label of the runners that boot and test
    kvm: bool = False  #: these have KVM, and their containers are given the device
    store: str | None = None  #: folder on the build runners, in place of the service's cache
    setup: tuple[str, ...] = SETUP
    suites: str = ""  #: of ``--suite``
    retry: int = 2
    hours: int = 12  #: a build may take so long
    schedule: str = "17 3 * * 1"  #: of the update of the pins, as cron has it

    def hours_of(self, kind: str) -> int:
        """Return how long a job of that *kind* (``build``, ``test``) may take."""
        return self.hours if kind == "build" else TEST_HOURS


@dataclass(frozen=True)
class Job:
    """A job: a script, line by line for a POSIX shell, and what comes in and goes out."""

    name: str
    kind: str  #: ``build``, ``test``, ``pins``
    script: tuple[str, ...]
    cell: Cell | None = None
    needs: str | None = None  #: the job whose artifacts it takes

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Return the folders that it leaves."""
        if self.kind == "pins":
            return ()
        return (f"{WORKSPACE}/runs", *((BUNDLES, LOCKS) if self.kind == "build" else ()))

    @property
    def cache_key(self) -> str:
        """Return the name of its cache: jobs of one release and machine share one."""
        assert self.cell is not None
        return f"yoctovirt-{self.cell.release or 'debian'}-{self.cell.machine}"


def choose_cells(
    roles: Sequence[Role], releases: Sequence[str], machines: Sequence[str]
) -> list[tuple[Role, Cell]]:
    """Return role and cell of each build: the default release and machine, or those named.

    Raises UsageError for a release or machine that is named, and that no role is made for.
    """
    cells: list[tuple[Role, Cell]] = []
    for role in roles:
        if role.builder == "debian":
            cells.append((role, Cell(role.name, "", role.machine, ())))
            continue
        for release in releases or [choose_release(role, None)]:
            for machine in machines or [role.machine]:
                if role.is_made_for(release, machine):
                    cells.append((role, Cell(role.name, release, machine, ())))
    for names, kind in ((releases, "release"), (machines, "machine")):
        for name in names:
            if not any(name == getattr(cell, kind) for _, cell in cells):
                raise UsageError(
                    f"none of the roles is made for {kind} {name}",
                    "'yoctovirt roles' shows which role holds where",
                )
    return cells


def jobs_of(cells: Sequence[tuple[Role, Cell]], choices: Choices) -> list[Job]:
    """Return the jobs of a pipeline: a build and a test for each cell, and the update of pins."""
    jobs: list[Job] = []
    for role, cell in cells:
        name = "-".join(word for word in (role.name, cell.release, cell.machine) if word)
        build = Job(f"build-{name}", "build", _build_script(role, cell, name, choices), cell)
        test = Job(f"test-{name}", "test", _test_script(cell, name, choices), cell, build.name)
        jobs += [build, test]
    return jobs


def _build_script(role: Role, cell: Cell, name: str, choices: Choices) -> tuple[str, ...]:
    call = ["yoctovirt", "ci", role.name, "--until", "build"]
    if choices.retry:
        call += ["--retry", str(choices.retry)]
    lines = [*choices.setup]
    if choices.store:
        store = shlex.quote(choices.store)
        # Else it would be made on the runner's own disk, and all be built anew.
        away = shlex.quote(f"the store {choices.store} is not there: is it mounted?")
        lines.append(f"[ -d {store} ] || {{ echo {away} >&2; exit 3; }}")
        lines.append(f"export DL_DIR={store}/downloads SSTATE_DIR={store}/sstate-cache")
    if role.builder == "kas":
        call += ["--release", cell.release, "--machine", cell.machine]
        # bitbake refuses root, as whom jobs in containers run.
        lines.append(
            'if [ "$(id -u)" = 0 ]; then id builder >/dev/null 2>&1 || useradd -m builder; '
            "export YOCTOVIRT_BUILD_USER=builder; fi"
        )
        if choices.setup == SETUP:
            lines.append("scripts/host-setup layers")  # what bitbake wants of its host
    lines.append(_in_time(call, choices.hours_of("build")))
    lines.append(f"mkdir -p {BUNDLES} {LOCKS}")
    lines.append(f"yoctovirt bundle {role.name} -o {BUNDLES}/{name}.tar.zst")
    if role.builder == "kas":
        lines.append(
            f"yoctovirt pins export --release {cell.release} -o {LOCKS}/{cell.release}.lock.yml"
        )
    return tuple(lines)


def _test_script(cell: Cell, name: str, choices: Choices) -> tuple[str, ...]:
    call = ["yoctovirt", "ci", "--from", f"{BUNDLES}/{name}.tar.zst"]
    if choices.suites:
        call += ["--suite", choices.suites]
    # A device that is there and may not be opened: hosted runners have it so.
    open_kvm = "if [ -e /dev/kvm ] && [ ! -w /dev/kvm ]; then sudo -n chmod 666 /dev/kvm; fi"
    lines = [*choices.setup, *([open_kvm] if choices.kvm else [])]
    if choices.setup == SETUP and "arm64" in cell.machine:
        lines.append("scripts/host-setup arm64")  # QEMU for it
    return (*lines, _in_time(call, choices.hours_of("test")))


def _in_time(call: Sequence[str], hours: int) -> str:
    """Return *call* so that it ends before the job's own limit, with record, JUnit and report.

    Services kill a job that is too long, and GitLab then takes none of its artifacts.
    """
    return f"timeout --preserve-status --kill-after=10m {60 * hours - 15}m {shlex.join(call)}"


def pins_job(choices: Choices, publish: Sequence[str]) -> Job:
    """Return the job that moves the pins; *publish* pushes the branch and asks for its merge."""
    message = "Pins: to where their branches stand"
    return Job(
        "update-pins",
        "pins",
        (
            *choices.setup,
            "yoctovirt pins update",
            "if git diff --quiet -- layers-manifest; then echo 'no pin has moved'; exit 0; fi",
            f"git checkout -B {BRANCH}",
            "git -c user.name=yoctovirt -c user.email=yoctovirt@localhost "
            f"commit -m '{message}' -- layers-manifest",
            *publish,
        ),
    )

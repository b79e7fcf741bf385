"""The phases of a run, each recorded: build, boot, smoke. The verbs put them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from yoctovirt.base.checksums import Checksums
from yoctovirt.base.files import write_atomically
from yoctovirt.base.record import RunRecord
from yoctovirt.base.screen import Screen
from yoctovirt.build.builders import Built, run_builder
from yoctovirt.build.oefindings import keep_findings
from yoctovirt.cli.common import use_site
from yoctovirt.config.kasfile import to_yaml
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError, YoctovirtError
from yoctovirt.pins.layers import layer_pins
from yoctovirt.pins.packages import package_pins

if TYPE_CHECKING:
    from yoctovirt.boot.launcher import BootRequest, Launch
    from yoctovirt.boot.node import Node
    from yoctovirt.build.kas.builder import KasOptions

#: In the folder of the records: digests of images that were computed already.
CHECKSUMS = ".checksums.json"
#: In a record: the flattened kas configuration of the image.
CONFIG = "kas.yml"


def note_image(record: RunRecord, built: Built) -> None:
    """Write into the record which image was used, of which packages and layers."""
    deploy = built.deploy
    digests = Checksums(record.path.parent / CHECKSUMS).of(deploy.files())
    record.data["image"] = {
        "name": deploy.image,
        "deploy_dir": str(deploy.path),
        "files": [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
            for path, digest in digests.items()
        ],
        "distro": deploy.testdata.get("DISTRO"),
        "distro_version": deploy.testdata.get("DISTRO_VERSION"),
        "machine": deploy.testdata.get("MACHINE"),
        "release": built.release,
        "features": list(built.features),
    }
    record.data["pins"] = package_pins(deploy.packages())
    if built.config is not None:
        record.data["pins"]["layers"] = layer_pins(built.config)
        if not (record.path / CONFIG).exists():  # that of an earlier build
            write_atomically(record.path / CONFIG, to_yaml(built.config))
    keep_findings(deploy, record.path)
    record.save()


def build_phase(
    record: RunRecord,
    workspace: Workspace,
    role: Role,
    screen: Screen,
    *,
    force: bool = False,
    options: KasOptions | None = None,
) -> Built:
    """Build the image of *role* as a phase of *record*."""
    built = tasks_phase(record, workspace, role, screen, force=force, options=options)
    if built is None:
        raise UsageError(f"this call makes no image of role {role.name}")
    return built


def tasks_phase(
    record: RunRecord,
    workspace: Workspace,
    role: Role,
    screen: Screen,
    *,
    force: bool = False,
    options: KasOptions | None = None,
) -> Built | None:
    """Build *role*, or what *options* ask for in place of its image, as a phase of *record*."""
    log = record.commands(screen.command)
    use_site(workspace.path)
    with record.phase("build") as details, screen.step(f"build {role.name}"):
        details["builder"] = role.builder
        done = run_builder(
            role, workspace, log, screen, record=record.path, force=force, options=options
        )
        if role.builder == "debian":
            details["from_cache"] = not (record.path / "build.log").exists()
        details.update(done.figures)
    if done.figures:
        screen.note(figures_line(done.figures))
    if done.built is not None:
        note_image(record, done.built)
    return done.built


def figures_line(figures: dict[str, int]) -> str:
    """Return what a build took from sstate, in one line."""
    wanted = figures.get("sstate_wanted", 0)
    taken = figures.get("sstate_local", 0) + figures.get("sstate_mirrors", 0)
    tasks, old = figures.get("tasks", 0), figures.get("tasks_not_rerun", 0)
    return (
        f"sstate: {taken} of {wanted} wanted objects taken, "
        f"{figures.get('sstate_current', 0)} current; tasks: {tasks - old} of {tasks} run"
    )


@contextmanager
def boot_phase(record: RunRecord, request: BootRequest, screen: Screen) -> Iterator[Launch]:
    """Start a node as a phase of *record*; yield it ready, stop it at the end."""
    from yoctovirt.boot.warmstart import started_node

    name = request.name
    starting = started_node(request, record.commands(screen.command), screen)
    with record.phase("boot") as details, screen.step(f"boot {name}"):
        launch = starting.__enter__()
        note_node(record, launch.node)
        details.update(launch.node.state.timings)
    error: BaseException | None = None
    try:
        yield launch
    except BaseException as caught:
        error = caught
        raise
    finally:
        starting.__exit__(type(error) if error else None, error, None)


def note_node(record: RunRecord, node: Node) -> None:
    """Write into the record on which node the checks ran."""
    state = node.state
    record.data["nodes"].append(
        {
            "name": state.name,
            "role": state.role,
            "image": state.image,
            "private_address": state.private_address,
            "promises": state.promises,
            "accelerator": state.accelerator,
            "accelerator_reason": state.accelerator_reason,
            "memory_mib": state.memory_mib,
            "cpus": state.cpus,
            "timings": state.timings,
            "settled": state.settled or None,
            "command": state.command,
            "console_log": f"console-{state.name}.log",
            "qemu": _qemu_version(node),
        }
    )
    record.save()


def _qemu_version(node: Node) -> str | None:
    """Return what QEMU says of itself (QMP: query-version); None for a host."""
    if node.state.kind != "qemu":
        return None
    try:
        told = node.qmp.execute("query-version")
        number = ".".join(str(told["qemu"][part]) for part in ("major", "minor", "micro"))
        return f"{number} {told['package']}".strip()
    except (YoctovirtError, KeyError, TypeError):
        return None  # a node that has just died says so itself


def smoke_phase(
    record: RunRecord,
    workspace: Workspace,
    nodes: Sequence[Node],
    screen: Screen,
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    expression: str = "",
    checks: Sequence[str] = (),
    jobs: int | None = None,
    peers: Sequence[Node] = (),
) -> list[dict[str, Any]]:
    """Run the suites that *nodes* promise as a phase of *record*; *peers* run beside them.

    Raises ChecksFailedError where a check failed, BootError where a node broke under the checks;
    the verdicts are in the record by then.
    """
    from yoctovirt.smoke.broken import judge_nodes, restarts_counted
    from yoctovirt.smoke.catalog import IMAGE_CHECKS, SERIAL_CHECKS, choose_suites
    from yoctovirt.smoke.runner import judge, lacking_nodes, read_verdicts, run_checks
    from yoctovirt.smoke.verdicts import NOT_RUN

    promises = [promise for node in nodes for promise in node.state.promises]
    names = ", ".join(node.name for node in nodes)
    log = record.commands(screen.command)
    with record.phase("smoke") as details, screen.step(f"smoke {names}"):
        chosen, left = choose_suites(promises, only, without, checks, workspace.path)
        details["suites"] = [suite.name for suite in chosen]
        left += lacking_nodes(chosen, [node.state.promises for node in (*nodes, *peers)])
        record.data["not_run"] = [{"suite": name, "reason": why} for name, why in left]
        if not all(node.has_serial for node in nodes) and any(suite.always for suite in chosen):
            reason = "the host has no serial console"
            record.data["not_run"] += [{"suite": one, "reason": reason} for one in SERIAL_CHECKS]
        if not all(node.has_image for node in nodes):
            reason = "it is not known what the host was made of"
            names_of = {suite.name for suite in chosen}
            record.data["not_run"] += [
                {"suite": one, "reason": reason}
                for one in IMAGE_CHECKS
                if one.partition("::")[0] in names_of
            ]
        try:
            with restarts_counted([*nodes, *peers], record.path):
                run_checks(
                    nodes, workspace, chosen, record.path, log, screen,
                    expression=expression, checks=checks, jobs=jobs, peers=peers,
                )  # fmt: skip
        finally:
            verdicts = read_verdicts(record.path)
            record.data["checks"] = [one for one in verdicts if one["outcome"] != NOT_RUN]
            record.data["not_run"] += [
                {"suite": one["id"], "reason": one["message"]}
                for one in verdicts
                if one["outcome"] == NOT_RUN
            ]
        judge_nodes(record.path, verdicts)
        judge(verdicts)
    return verdicts


def note_unreached(
    record: RunRecord, promises: Sequence[str], workspace: Workspace, **choice: Any
) -> None:
    """Note the phases and suites that an earlier failure kept from running.

    *choice* is what the user chose, as for choose_suites. A suite that was to run and did not
    is an error in the reports, never a skip. What was not to run (``until``) is not noted.
    """
    from yoctovirt.smoke.catalog import choose_suites

    phases = {phase["name"]: phase["status"] for phase in record.data["phases"]}
    broken = next((name for name, status in phases.items() if status != "ok"), None)
    if broken is None or broken == "smoke":
        return
    reason = f"{broken} {'was interrupted' if phases[broken] == 'interrupted' else 'failed'}"
    until = record.data["until"]
    for name in ("boot", "smoke")[: {"build": 0, "boot": 1}.get(until, 2)]:
        if name not in phases:
            record.not_run(name, reason)
    record.save()
    if until is not None:
        return
    chosen, left = choose_suites(promises, workspace=workspace.path, **choice)
    record.data["not_run"] = [
        *({"suite": suite.name, "reason": reason, "promised": True} for suite in chosen),
        *({"suite": name, "reason": why} for name, why in left),
    ]
    record.save()

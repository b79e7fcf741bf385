"""Does a cell of the matrix resolve? Real kas, real bitbake: parse, then ``bitbake -g``.

bitbake keeps two parse caches: one of whole recipes for each configuration, and one of
the code in them, whatever the configuration. A build directory for each release, used for
all its roles and machines, lets them share the second one.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt import __version__
from yoctovirt.base.files import locked, make_folder, write_atomically
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.builder import kas_must_check_out, run_kas, share_hash_equivalence
from yoctovirt.build.kas.caches import prepare_folders
from yoctovirt.build.kas.failures import explain
from yoctovirt.build.kas.preflight import check_host
from yoctovirt.build.kas.user import BuildUser, choose_build_user
from yoctovirt.config.cells import Cell, fingerprint, missing_repos
from yoctovirt.config.kasfile import flatten, to_yaml
from yoctovirt.config.layers import Checkout
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role
from yoctovirt.config.site import shared_folders
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BuildError, InfrastructureError

#: How many unresolved names and errors a result keeps; their number is kept besides.
_KEPT = 12
#: What bitbake writes into the build directory for us: removed before it is asked.
WRITTEN = ("pn-buildlist", "task-depends.dot", "locked-sigs.inc")
_NOTHING = re.compile(r"Nothing R?PROVIDES .*")
_SKIPPED = re.compile(r"^\S+ (?:R?PROVIDES .* but )?was skipped: ")
#: bitbake names our layers and kas's from its build directory: /a/b/../c.
_CROOKED = re.compile(r"/[^\s:'\"(),]*/\.\./[^\s:'\"(),]*")
_PARSED = re.compile(
    r"Parsing of (\d+) \.bb files complete \((\d+) cached, (\d+) parsed\)\. (\d+) targets, "
    r"(\d+) skipped, (\d+) masked, (\d+) errors"
)


@dataclass(frozen=True)
class Said:
    """What bitbake said of a cell: what nothing provides, its ERROR lines, its figures."""

    unresolved: list[str]
    errors: list[str]
    figures: dict[str, int]


def read_output(text: str, folders: list[Path]) -> Said:
    """Return what the output *text* of kas and bitbake says; *folders* are taken off paths."""
    text = _CROOKED.sub(lambda path: os.path.normpath(path[0]), text)
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    unresolved, errors = [], []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        nothing = _NOTHING.search(line)
        if nothing:
            # "… but was skipped: …" says why, in the next line.
            why = lines[number + 1].strip() if number + 1 < len(lines) else ""
            unresolved.append(nothing[0].rstrip() + (f"; {why}" if _SKIPPED.search(why) else ""))
        _, found, message = line.partition("ERROR: ")
        if found and not nothing:
            # "ERROR: … at FILE:" and the like go on in the next line.
            more = lines[number + 1].strip() if message.rstrip().endswith(":") and (
                number + 1 < len(lines)) else ""  # fmt: skip
            errors.append(f"{message.strip()} {more}".strip())
    figures = {"warnings": len(re.findall(r"^(?:.* - )?WARNING: ", text, flags=re.MULTILINE))}
    parsed = _PARSED.search(text)
    if parsed:
        names = ("bb_files", "cached", "parsed", "targets", "skipped", "masked")
        figures.update({name: int(value) for name, value in zip(names, parsed.groups()[:6],
                                                                strict=True)})  # fmt: skip
    return Said(list(dict.fromkeys(unresolved)), list(dict.fromkeys(errors)), figures)


def graph_figures(build_dir: Path) -> dict[str, int]:
    """Return recipes, tasks and edges of what ``bitbake -g`` has written into *build_dir*.

    Recipes are the lines of ``pn-buildlist``, tasks and edges those of
    ``task-depends.dot``. Raises BuildError where one is missing or empty.
    """
    figures = {"recipes": 0, "tasks": 0, "edges": 0}
    for name in ("pn-buildlist", "task-depends.dot"):
        if not (build_dir / name).is_file() or not (build_dir / name).stat().st_size:
            raise BuildError(f"bitbake -g has written no {name} into {build_dir}")
    figures["recipes"] = len((build_dir / "pn-buildlist").read_text().split())
    with (build_dir / "task-depends.dot").open(errors="replace") as graph:
        for line in graph:
            figures["tasks"] += "[label=" in line
            figures["edges"] += "->" in line and "[label=" not in line
    return figures


@dataclass(frozen=True)
class Place:
    """A configured build directory in which bitbake answers questions of a cell."""

    layers: Path
    build_dir: Path
    user: BuildUser
    images: str  #: the targets, blank-separated
    bitbake: Callable[[str], tuple[int, str]]  #: runs a shell command; status and output


@contextmanager
def prepared(
    role: Role,
    cell: Cell,
    workspace: Workspace,
    build_user: str | None,
    log: CommandLog,
    screen: Screen,
    output_log: Path,
) -> Iterator[Place]:
    """Yield where *cell* is configured, with its layers checked out, locked for us.

    Raises UsageError and InfrastructureError for what keeps that from being done.
    """
    user = choose_build_user(build_user)
    check_host(role, workspace, user, fresh=False, release=cell.release)
    config = flatten(role, cell.release, log, machine=cell.machine, features=cell.features)
    # Also keeps poky's sanity check from asking its own server, and shows what a parse
    # would want from the network.
    config.setdefault("env", {})["BB_NO_NETWORK"] = "1"
    layers = workspace.path / "layers" / cell.release
    build_dir = make_folder(workspace.path / "resolve" / cell.release)
    with locked(
        workspace.path / f".resolve-{cell.release}.lock",
        f"{build_dir} is in use: something of {cell.release} is being resolved",
    ) as lock:
        checkout = Checkout(layers, log, screen)
        checkout.make(config)
        shared = shared_folders(config, workspace.path)
        text = to_yaml(config)
        write_atomically(output_log.with_suffix(".yml"), text)
        source = make_folder(workspace.path / "config") / f"resolve-{cell.release}.yml"
        write_atomically(source, text)
        for name in WRITTEN:
            (build_dir / name).unlink(missing_ok=True)
        share_hash_equivalence(workspace, build_dir, cell.release)
        user.take([layers, build_dir, workspace.path / "hashserv", source.parent], log)
        prepare_folders(shared, workspace, user, log)
        skip = () if kas_must_check_out(config, checkout) else ("--skip", "repos_checkout")
        target = config["target"]

        def bitbake(command: str) -> tuple[int, str]:
            return run_kas(
                ["shell", *skip, str(source), "-c", command],
                workspace, layers, build_dir, user, log, screen, output_log, lock,
            )  # fmt: skip

        images = target if isinstance(target, str) else " ".join(target)
        yield Place(layers, build_dir, user, images, bitbake)


def resolve(
    role: Role,
    cell: Cell,
    workspace: Workspace,
    build_user: str | None,
    log: CommandLog,
    screen: Screen,
    *,
    record: Path,
) -> dict[str, Any]:
    """Return the result of resolving *cell*, in the form in which it is stored.

    The whole output goes into a log in *record*. That a cell does not resolve is a
    result. Raises InfrastructureError and UsageError for what says nothing of the cell
    (host, network, mirrors), BuildError where bitbake fails without saying why.
    """
    start = time.monotonic()
    output_log = record / f"{cell.key.replace('/', '-')}.log"
    entry: dict[str, Any] = {
        "fingerprint": fingerprint(role, cell),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "yoctovirt": __version__,
        "verdict": "ok",
    }
    absent = missing_repos(role, cell)
    if absent:
        entry.update(
            verdict="fails",
            reason=f"release {cell.release} has no repository {', '.join(absent)}, of which "
            "the role takes layers",
        )
        return entry
    with prepared(role, cell, workspace, build_user, log, screen, output_log) as place:
        images = place.images
        status, output = place.bitbake(f"bitbake -g {images}")
        said = read_output(output, [place.layers, place.build_dir, workspace.path, data_root()])
        _blame_the_host(said)
        entry["target"] = images
        entry["log"] = str(output_log.relative_to(workspace.path))
        entry["figures"] = said.figures
        if said.unresolved or said.errors:
            entry.update(
                verdict="fails",
                reason=(said.unresolved or said.errors)[0],
                unresolved=said.unresolved[:_KEPT],
                unresolved_count=len(said.unresolved),
                errors=said.errors[:_KEPT],
                error_count=len(said.errors),
            )
        elif status:
            raise explain(output, status, output_log)
        else:
            entry["figures"].update(graph_figures(place.build_dir))
    entry["seconds"] = round(time.monotonic() - start, 1)
    return entry


def _blame_the_host(said: Said) -> None:
    """Raise InfrastructureError for an error that is the host's, not the layers'."""
    for line in said.errors:
        if "sanity checker detected" in line or "No space left on device" in line:
            raise InfrastructureError(
                "bitbake finds fault with this host: " + " ".join(said.errors)[:800],
                "mend that, and resolve again: nothing was stored",
            )

"""One booted node at a time, on which one thing at a time is broken.

The nodes of the OpenStack lab are there, too: as the roles ``lab-<node>``.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import Yoctovirt
from tests.lab.host import why_not
from tests.lab.lab import Lab, open_lab
from tests.sabotage.table import Row
from yoctovirt.boot.node import Node, find_node, running_nodes
from yoctovirt.config.workspace import find_workspace

#: Seconds that a sabotage or a repair may take, before the accelerator's factor.
BREAKING = 120.0
#: Roles of the lab's nodes begin so.
LAB = "lab-"


class Bench:
    """Nodes of the role that a row names; booted anew where a repair has not helped."""

    def __init__(self, yv: Yoctovirt, given: str = "") -> None:
        self._yv = yv
        self._given = given.split("+") if given else []
        self._kind = ("", 0)
        self._nodes: list[Node] = []
        self._lab: Lab | None = None
        self._started = ExitStack()
        self.seen: list[dict[str, Any]] = []

    def use(self, role: str, count: int) -> None:
        """Have *count* nodes of *role* running, and no other ones."""
        lab = role.startswith(LAB) and self._kind[0].startswith(LAB)
        if self._kind == (role, count) or lab:
            self._kind = (role, count)
            return
        self.close()
        if role.startswith(LAB):
            self._use_lab(role, count)
            return
        names = [f"sabotage-{role}"]
        if count > 1:
            names = [f"{role}-{number + 1}" for number in range(count)]
        if self._given:
            there = running_nodes(find_workspace(self._yv.workspace))
            fit = [name for name in self._given if name in there and there[name].state.role == role]
            if len(fit) < count:
                pytest.skip(f"needs {count} of role {role}, --sabotage-node names other ones")
            names = fit[:count]
        else:
            self._call("build", role)
            if count == 1:
                # Where a repair has not helped the next one does not wait for a boot.
                self._call("boot", role, "--name", names[0], "--detach", "--warm")
            else:
                self._call("boot", f"{role}:{count}", "--detach")
        workspace = find_workspace(self._yv.workspace)
        self._nodes = [find_node(workspace, name) for name in names]
        self._kind = (role, count)

    def _use_lab(self, role: str, count: int) -> None:
        assert count == 1, "rows of the lab break one node, the others are there anyway"
        self._kind = (role, count)
        if self._given:
            if self._given != ["lab"]:
                pytest.skip("--sabotage-node names other ones")
            return
        if reason := why_not():
            pytest.skip(reason)
        self._lab = self._started.enter_context(open_lab())
        self._lab.build(self._lab.names)
        self._lab.start(self._lab.names)
        self._lab.write_workspace(Path(self._yv.workspace), self._lab.names)

    def _call(self, *arguments: str) -> None:
        done = self._yv.run(*arguments, timeout=1500)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"

    def discard(self) -> None:
        """Boot the next node anew: this one could not be repaired."""
        if not self._given:
            self.close()

    def close(self) -> None:
        for node in self._nodes:
            node.close()
            if not self._given:
                self._yv.run("stop", node.name, "--now")
        self._nodes = []
        self._kind = ("", 0)
        self._lab = None
        self._started.close()

    def on_node(self, script: str, what: str, where: str = "") -> None:
        """Run a sabotage or a repair on the first node, or on node *where* of the lab.

        Fails where it does not do it.
        """
        if self._kind[0].startswith(LAB):
            name = where or self._kind[0].removeprefix(LAB)
            if self._lab:
                self._lab.run(name, f"set -e\n{script}", BREAKING * 4)
                return
            told = yaml.safe_load((Path(self._yv.workspace) / "nodes.yml").read_text())
            self._on_host(told["nodes"][name], script, what)
            return
        done = self._nodes[0].run(script, BREAKING)
        assert done.ok, f"the {what} exited with {done.exit_status}:\n{script}\n{done.output}"

    def _on_host(self, host: dict[str, Any], script: str, what: str) -> None:
        argv = ["ssh", "-i", host["key"], "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                host["ssh"]]  # fmt: skip
        done = subprocess.run(
            [*argv, f"set -e\n{script}"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=BREAKING * 4, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"the {what} exited with {done.returncode}:\n{script}\n{said}"

    def check(self, row: Row) -> dict[str, Any]:
        """Run the check of *row*, and no other one, by yoctovirt's own command line."""
        names = [node.name for node in self._nodes]
        if self._kind[0].startswith(LAB):
            names = [self._kind[0].removeprefix(LAB), *row.beside.split()]
        done = self._yv.run("smoke", *names, "--check", row.check, timeout=1500)
        run = self._yv.last_record()
        assert run["exit_code"] == done.returncode
        verdicts = run["checks"] + [
            {"id": left["suite"], "outcome": "not run", "message": left["reason"], "seconds": 0}
            for left in run["not_run"]
            if "::" in left["suite"] and row.identity == left["suite"].partition("[")[0]
        ]
        # On a system of nodes a check says on which of them it was made.
        ran = [verdict["id"].removesuffix(f"[{names[0]}]") for verdict in verdicts]
        assert ran == [row.check], f"ran {ran}:\n{done.stdout}{done.stderr}"
        verdict: dict[str, Any] = {**verdicts[0], "status": done.returncode}
        return verdict

    def note(self, row: Row, broken: dict[str, Any], whole: dict[str, Any] | None) -> None:
        """Keep what was seen, for the table at the end."""
        self.seen.append(
            {
                "check": row.check,
                "breaks": row.breaks,
                "outcome": broken["outcome"],
                "message": broken["message"],
                "seconds_broken": broken["seconds"],
                "seconds_whole": whole["seconds"] if whole else None,
            }
        )

    def seen_table(self) -> str:
        text = "| check | sabotage | what it said | broken | whole |\n"
        text += "| --- | --- | --- | --- | --- |\n"
        for row in self.seen:
            said = json.dumps(row["message"].partition("\n")[0], ensure_ascii=False)[1:-1]
            text += (
                f"| {row['check']} | {row['breaks']} | {row['outcome']}: {said} "
                f"| {row['seconds_broken']} s | {row['seconds_whole']} s |\n"
            ).replace("\\|", "|")
        return text

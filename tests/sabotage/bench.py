"""One booted node at a time, on which one thing at a time is broken."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.integration.conftest import Yoctovirt
from tests.sabotage.table import Row
from yoctovirt.boot.node import Node, find_node
from yoctovirt.config.workspace import find_workspace

#: Seconds that a sabotage or a repair may take, before the accelerator's factor.
BREAKING = 120.0


class Bench:
    """A node of the role that a row names; booted anew where a repair has not helped."""

    def __init__(self, yv: Yoctovirt, given: str = "") -> None:
        self._yv = yv
        self._given = given
        self._role = "reference" if given else ""
        self._node: Node | None = None
        self.seen: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        return self._given or f"sabotage-{self._role}"

    def use(self, role: str) -> None:
        """Have a node of *role* running, and no other one."""
        if self._node is not None and self._role == role:
            return
        if self._given:
            if role != "reference":
                pytest.skip(f"needs a node of role {role}, and --sabotage-node names another one")
        else:
            self.close()
            self._role = role
            for arguments in (
                ("build", role),
                ("boot", role, "--name", self.name, "--detach"),
            ):
                done = self._yv.run(*arguments, timeout=1500)
                assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        self._node = find_node(find_workspace(self._yv.workspace), self.name)

    def discard(self) -> None:
        """Boot the next node anew: this one could not be repaired."""
        if not self._given:
            self.close()

    def close(self) -> None:
        if self._node is not None:
            self._node.close()
            self._node = None
            if not self._given:
                self._yv.run("stop", self.name, "--now")

    def on_node(self, script: str, what: str) -> None:
        """Run a sabotage or a repair; fail where it does not do what it is for."""
        assert self._node is not None
        done = self._node.run(script, BREAKING)
        assert done.ok, f"the {what} exited with {done.exit_status}:\n{script}\n{done.output}"

    def check(self, row: Row) -> dict[str, Any]:
        """Run the check of *row*, and no other one, by yoctovirt's own command line."""
        begin = time.monotonic()
        done = self._yv.run("smoke", self.name, "--check", row.check, timeout=900)
        run = self._yv.last_record()
        assert run["exit_code"] == done.returncode
        verdicts = run["checks"]
        ran = [verdict["id"] for verdict in verdicts]
        assert ran == [row.check], f"ran {ran}:\n{done.stdout}{done.stderr}"
        verdict: dict[str, Any] = {
            **verdicts[0],
            "status": done.returncode,
            "took": round(time.monotonic() - begin, 1),
        }
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

"""Two real nodes in one network, and the end of one of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from tests.integration.conftest import PATIENCE, Yoctovirt, interrupt, wait_for

pytestmark = pytest.mark.node


def qemu_of(yv: Yoctovirt, name: str) -> int:
    """Return the process of the QEMU of a node."""
    for line in yv.processes():
        if f"qemu-system-x86_64 -name {name} " in line and "guard.py" not in line:
            return int(line.split()[0])
    pytest.fail(f"no QEMU of {name}: {yv.processes()}")


def start_two(yv: Yoctovirt, *options: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Boot reference:2 and return the running call and the address of each node."""
    process = yv.start("boot", "reference:2", "--no-settle", "--hosts", *options)

    def addresses() -> dict[str, str]:
        if process.poll() is not None:
            pytest.fail(f"boot ended: {process.communicate()[0]}")
        if not (yv.workspace / "nodes").is_dir():
            return {}
        nodes = json.loads(yv.run("nodes", "--json").stdout)
        found = {node["name"]: node["private_address"] for node in nodes}
        run = yv.last_record() if yv.records() else {}
        return found if run.get("phases") and run["phases"][-1]["status"] == "ok" else {}

    try:
        # A loaded host: two guests and what runs beside them share it.
        return process, wait_for(addresses, 180, "two nodes that are joined")
    except BaseException:
        if process.poll() is None:
            interrupt(process)
        raise


@pytest.mark.timeout(1800)
def test_two_nodes(fresh: Yoctovirt) -> None:
    """They know one another by name; when one is killed the other is stopped, and it is said."""
    process, addresses = start_two(fresh)
    assert addresses == {"reference-1": "192.168.7.8", "reference-2": "192.168.7.10"}
    run = fresh.last_record()
    (phase,) = [phase for phase in run["phases"] if phase["name"] == "boot"]
    measured = {(row["from"], row["to"]): row for row in phase["details"]["network"]["measured"]}
    assert set(measured) == {("reference-1", "reference-2"), ("reference-2", "reference-1")}
    assert all(row["ping_ms"] > 0 and row["transfer_seconds"] > 0 for row in measured.values())
    said = fresh.run("ssh", "reference-1", "hostname; getent hosts reference-2").stdout.split()
    assert said[:2] == ["reference-1", "192.168.7.10"]
    ids = [fresh.run("ssh", name, "cat /etc/machine-id").stdout for name in sorted(addresses)]
    assert len(set(ids)) == 2, f"udev gives interfaces of both nodes the same addresses: {ids}"
    told = {row["name"]: re.findall(r"mac=(\S+)", " ".join(row["command"])) for row in run["nodes"]}
    assert len({mac for macs in told.values() for mac in macs}) == 4

    os.kill(qemu_of(fresh, "reference-2"), signal.SIGKILL)
    output, _ = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 5, output
    assert "node reference-2 died: somebody or something ended it by SIGKILL" in output
    assert "stopped with it: reference-1" in output
    error = fresh.last_record()["error"]
    assert error["died"].keys() == {"reference-2"}
    assert error["stopped"] == ["reference-1"]


@pytest.mark.faults
def test_the_other_is_kept(fresh: Yoctovirt) -> None:
    process, _ = start_two(fresh, "--on-death", "keep", "--skip-network-check")
    os.kill(qemu_of(fresh, "reference-1"), signal.SIGKILL)
    wait_for(lambda: "reference-1" not in fresh.run("nodes").stdout, 10, "node 1 gone")
    assert fresh.run("ssh", "reference-2", "exit 7").returncode == 7
    assert process.poll() is None
    fresh.run("ssh", "reference-2", "systemctl poweroff")
    output, _ = process.communicate(timeout=60 * PATIENCE)
    assert process.returncode == 5, output
    assert "kept: reference-2" in output


@pytest.mark.faults
def test_one_that_does_not_boot(fresh: Yoctovirt) -> None:
    """The error is that of the node; Ctrl-C while they start leaves nothing."""
    done = fresh.run(
        "boot", "reference:2", "--no-settle", "--bootparams=root=/dev/vdz", timeout=900
    )
    assert done.returncode == 5, done.stdout + done.stderr
    assert "did not become ready" in done.stderr
    fresh.assert_nothing_left()
    process = fresh.start("boot", "reference:2", "--no-settle")
    wait_for(lambda: len(list(fresh.workspace.glob("nodes/*/node.json"))) == 2, 30, "two QEMUs")
    interrupt(process)


@pytest.mark.faults
def test_a_broken_network_is_found(fresh: Yoctovirt) -> None:
    """Proof of the proof: with the cable of one node pulled the check must not pass."""
    from yoctovirt.boot.network import plan_members
    from yoctovirt.boot.node import running_nodes
    from yoctovirt.boot.verify import verify_network
    from yoctovirt.build.debian.overlay import make_keys
    from yoctovirt.config.workspace import find_workspace
    from yoctovirt.errors import BootError

    done = fresh.run("boot", "reference:2", "--no-settle", "--detach", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    nodes = running_nodes(find_workspace(fresh.workspace))
    members = plan_members([(name, "reference") for name in nodes])
    assert len(verify_network(members, nodes)) == 2
    nodes["reference-2"].qmp.execute("set_link", name="net1", up=False)
    with pytest.raises(BootError, match="does not reach"):
        verify_network(members, nodes)
    # Somebody else at the address of the other: its host key tells.
    nodes["reference-2"].qmp.execute("set_link", name="net1", up=True)
    swapped = {name: nodes[other] for name, other in zip(nodes, reversed([*nodes]), strict=True)}
    with pytest.raises(BootError, match="its boot id is not the node's"):
        verify_network(members, {**nodes, "reference-2": swapped["reference-2"]})
    nodes["reference-2"].state.ssh_host_key = make_keys().host_public
    with pytest.raises(BootError, match="its host key is not the node's"):
        verify_network(members, nodes)
    assert fresh.run("stop", "--all", "--now").returncode == 0


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_ci_of_two(fresh: Yoctovirt) -> None:
    """A record for each node, its checks made on it, and one exit code."""
    done = fresh.run("ci", "reference:2", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = {run["nodes"][0]["name"]: run for run in map(json.loads, _texts(fresh))}
    assert set(runs) == {"reference-1", "reference-2"}
    for name, run in runs.items():
        assert run["result"] == "passed"
        assert [phase["name"] for phase in run["phases"]] == ["build", "boot", "smoke"]
        folder = fresh.workspace / "runs" / run["id"]
        asked = (folder / "node-commands.jsonl").read_text().splitlines()
        assert {json.loads(line)["node"] for line in asked} == {name}
        assert (folder / "report.html").is_file()


def _texts(yv: Yoctovirt) -> list[str]:
    return [path.read_text() for path in yv.records() if "-build-" not in str(path)]

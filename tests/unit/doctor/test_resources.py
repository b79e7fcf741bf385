"""Memory against threads, limits of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from yoctovirt.doctor.resources import (
    Memory,
    cgroup_folders,
    cpus_for_threads,
    memory_for_build,
    memory_for_node,
    proposal,
    read_memory,
    threads_of,
)

GIB = 1 << 30
MEMINFO = "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\nSwapFree: 2097152 kB\n"


def files(tmp_path: Path, group: str = "0::/user/a\n") -> tuple[Path, Path, Path]:
    meminfo, own, groups = tmp_path / "meminfo", tmp_path / "own", tmp_path / "cgroup"
    meminfo.write_text(MEMINFO)
    own.write_text(group)
    (groups / "user" / "a").mkdir(parents=True)
    return meminfo, own, groups


def test_memory_of_the_host(tmp_path: Path) -> None:
    assert read_memory(*files(tmp_path)) == Memory(16 * GIB, 8 * GIB, 2 * GIB)


def test_the_limit_of_a_group_above_counts(tmp_path: Path) -> None:
    meminfo, own, groups = files(tmp_path)
    (groups / "user" / "a" / "memory.max").write_text("max\n")
    (groups / "user" / "memory.max").write_text(f"{4 * GIB}\n")
    (groups / "user" / "memory.current").write_text(f"{1 * GIB}\n")
    (groups / "user" / "memory.swap.max").write_text("0\n")
    found = read_memory(meminfo, own, groups)
    assert found == Memory(4 * GIB, 3 * GIB, 0, str(groups / "user" / "memory.max"))


def test_a_limit_above_the_memory_is_none(tmp_path: Path) -> None:
    meminfo, own, groups = files(tmp_path)
    (groups / "user" / "memory.max").write_text(f"{64 * GIB}\n")
    assert read_memory(meminfo, own, groups).limited_by == ""


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    meminfo, own, groups = files(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/docker/1\n")
    folder = groups / "memory" / "docker" / "1"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{2 * GIB}\n")
    (folder / "memory.usage_in_bytes").write_text("0\n")
    (groups / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert read_memory(meminfo, own, groups).total == 2 * GIB


def test_all_groups_up_to_the_root(tmp_path: Path) -> None:
    found = cgroup_folders(tmp_path, "0::/a/b\n")
    assert found == [tmp_path / "a" / "b", tmp_path / "a", tmp_path]
    assert cgroup_folders(tmp_path, "0::/\n") == [tmp_path]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (8, 8)),
        ({"BB_NUMBER_THREADS": "3"}, (3, 8)),
        ({"PARALLEL_MAKE": "-j 5 -l 10"}, (8, 5)),
        ({"PARALLEL_MAKE": "--jobs=6"}, (8, 6)),
        ({"BB_NUMBER_THREADS": "many", "PARALLEL_MAKE": ""}, (8, 8)),
    ],
)
def test_threads(environ: dict[str, str], expected: tuple[int, int]) -> None:
    assert threads_of(environ, 8) == expected


@pytest.mark.parametrize(
    ("gib", "swap", "cpus", "fit"),
    [(32, 0, 8, 8), (8, 0, 8, 3), (8, 8, 8, 5), (1, 0, 64, 1), (300, 0, 64, 64)],
)
def test_the_proposal_fits_the_memory(gib: int, swap: int, cpus: int, fit: int) -> None:
    assert proposal(Memory(gib * GIB, gib * GIB, swap * GIB), cpus) == (fit, fit)


def test_memory_for_build() -> None:
    little = Memory(8 * GIB, 8 * GIB, 0)
    result = memory_for_build(little, 8, {}, compiles=True)
    assert result.status == "warning"
    assert 'BB_NUMBER_THREADS=3 PARALLEL_MAKE="-j 3"' in result.remedy
    followed = {"BB_NUMBER_THREADS": "3", "PARALLEL_MAKE": "-j 3"}
    assert memory_for_build(little, 8, followed, compiles=True).status == "ok"
    assert memory_for_build(little, 8, {}, compiles=False).status == "ok"
    assert memory_for_build(Memory(18 * GIB, 0, 0), 8, {}, compiles=True).status == "ok"


def test_no_build_below_a_gib() -> None:
    tiny = Memory(GIB // 2, GIB // 2, GIB // 4, "/sys/fs/cgroup/x/memory.max")
    result = memory_for_build(tiny, 2, {}, compiles=False)
    assert result.status == "error"
    assert "limited by /sys/fs/cgroup/x/memory.max" in result.message


def test_more_threads_than_cpus() -> None:
    assert cpus_for_threads(4, {"BB_NUMBER_THREADS": "8"}).status == "ok"
    assert cpus_for_threads(4, {"BB_NUMBER_THREADS": "9"}).status == "warning"
    assert cpus_for_threads(4, {"PARALLEL_MAKE": "-j9"}).status == "warning"


def test_memory_for_node() -> None:
    memory = Memory(8 * GIB, 2 * GIB, 0)
    assert memory_for_node(memory, 2048).status == "ok"
    assert memory_for_node(memory, 2049).status == "warning"

"""How long the command line takes to answer, beside kas (goal: below 0.2 s on an idle machine)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7


def seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    here = Path(sys.executable).parent
    calls = {"yoctovirt --help": [str(here / "yoctovirt"), "--help"]}
    for verb in ("build", "boot", "smoke", "ci", "nodes", "ssh"):
        calls[f"yoctovirt {verb} --help"] = [str(here / "yoctovirt"), verb, "--help"]
    calls["kas --help"] = [str(here / "kas"), "--help"]
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, argv in calls.items():
            times[name].append(seconds(argv))
    peer = statistics.median(times["kas --help"])
    print(f"{'call':26} {'median':>8} {'best':>8} {'of kas':>8}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:26} {median:7.3f}s {min(values):7.3f}s {median / peer:8.2f}")


if __name__ == "__main__":
    main()

"""Recipes that fail, each in its own way, under real kas and bitbake: is the cause named?

The recipes are in ``meta-faults``. They need no toolchain and no image: only parsing and the
failing task itself take time.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.gitrepos import repository
from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import Places

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]

LAYER = Path(__file__).with_name("meta-faults")
#: Recipe -> the task that fails, and why.
TASKS = {
    "fault-fetch": ("do_fetch", "fetch"),
    "fault-checksum": ("do_fetch", "checksum"),
    "fault-host": ("do_fetch", "host-unknown"),
    "fault-git": ("do_fetch", "git-revision"),
    "fault-unpack": ("do_unpack", "archive"),
    "fault-patch": ("do_patch", "patch"),
    "fault-compile": ("do_compile", "compile"),
    "fault-header": ("do_compile", "header-missing"),
    "fault-link": ("do_compile", "link"),
    "fault-killed": ("do_compile", "killed"),
    "fault-python": ("do_compile", "python-task"),
    "fault-script": ("do_compile", "python-module"),
    "fault-raise": ("do_compile", "python-program"),
    "fault-syntax": ("do_compile", "python-program"),
    "fault-network": ("do_compile", "network-in-task"),
    "fault-tool": ("do_compile", "program-missing"),
    "fault-long": ("do_compile", "name-too-long"),
    "fault-unknown": ("do_compile", None),
    "fault-install": ("do_install", "file-missing"),
    "fault-package": ("do_package", "not-shipped"),
    "fault-licence-text": ("do_populate_lic", "licence-text"),
    "fault-qa": ("do_populate_lic", "qa"),
}


@pytest.fixture(scope="module")
def web(places: Places) -> Iterator[str]:
    """Serve one file, and none of the others that are asked for."""
    folder = places.root / "web"
    folder.mkdir()
    (folder / "other-1.0.txt").write_text("other\n")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def faulty(places: Places) -> Yoctovirt:
    return places.workspace("faulty")


def overlay(places: Places, web: str, conf: str = "", **top: str) -> Path:
    """Write the kas file that adds the layer, with more lines for local.conf."""
    git = places.root / "git"
    if not git.exists():
        repository(git, README="a repository")
        subprocess.run(["chmod", "-R", "a+rX", str(git)], check=True)
    lines = f'FAULTS_URL = "{web}"\nFAULTS_GIT = "{git}"\n{conf}'
    path = places.root / "faults.yml"
    path.write_text(
        json.dumps(
            {
                "header": {"version": 19},
                "repos": {"faults": {"path": str(LAYER), "layers": {".": None}}},
                "local_conf_header": {"faults": lines},
                **top,
            }
        )
    )
    return path


def failures(yv: Yoctovirt) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yv.last_record()["error"]["failures"]
    return found


@pytest.mark.parametrize("release", ["scarthgap", "kirkstone", "wrynose"])
def test_each_failed_task_is_named_with_its_cause(
    faulty: Yoctovirt, places: Places, web: str, release: str
) -> None:
    targets = [word for name in TASKS for word in ("--target", name)]
    file = overlay(places, web)
    done = faulty.run(
        "build", "quick", "--release", release, "--with", str(file), "--continue", *targets,
        timeout=1800,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    print(done.stderr)
    seen = {failure["recipe"]: failure for failure in failures(faulty)}
    got = {name: (failure["task"], failure["cause"]) for name, failure in seen.items()}
    assert got == TASKS
    for name, failure in seen.items():
        assert failure["file"] == f"{LAYER}/recipes-faults/faults/{name}.bb"
        assert failure["layer"] == "faults"
        assert Path(failure["log"]).is_file()
        assert f"{name}.bb:{failure['task']} failed" in done.stderr
        assert all(line[:400] in done.stderr for line in failure["lines"])
    # What a person needs to go on.
    assert "poem.patch does not apply: checking file poem.txt; Hunk #1 FAILED" in done.stderr
    assert seen["fault-fetch"]["facts"]["tried"] == [
        f"{web}/gone/gone-1.0.tar.gz", f"{web}/mirror/gone-1.0.tar.gz"
    ]  # fmt: skip
    assert "broken.c, line 3: " in seen["fault-compile"]["title"]
    assert seen["fault-unknown"]["title"] is None
    assert "the mill stands still" in seen["fault-unknown"]["lines"]
    assert "    cause:  unknown\n" in done.stderr
    faulty.assert_nothing_left()


@pytest.mark.parametrize(
    ("target", "conf", "cause", "said"),
    [
        ("fault-provider", "", "provider", "there is fault-library in layer faults"),
        ("fault-elsewhere", "", "provider", "layer core has zlib (left out by BBMASK"),
        ("fault-flag", "", "licence-flag", 'LICENSE_FLAGS_ACCEPTED += "commercial_fault"'),
        (
            "fault-library",
            'FAULTS_PARSE = "parse-line"',
            "parse",
            "parse-line.bb, line 2: unparsed",
        ),
        ("fault-library", 'FAULTS_PARSE = "parse-expand"', "expand", "no_such_function"),
        ("fault-library", 'MACHINE = "pdp-11"', "machine", "no machine pdp-11"),
        ("fault-library", 'HOSTTOOLS += "no-such-tool"', "host-tools", "no-such-tool"),
    ],
    ids=lambda value: value if value.startswith(("fault", "parse")) else "",
)
def test_a_failure_before_any_task(
    faulty: Yoctovirt, places: Places, web: str, target: str, conf: str, cause: str, said: str
) -> None:
    file = overlay(places, web, conf + "\n")
    done = faulty.run("build", "quick", "--with", str(file), "--target", target, timeout=600)
    assert done.returncode == (3 if cause == "host-tools" else 4), done.stdout + done.stderr
    assert [failure["cause"] for failure in failures(faulty)] == [cause]
    assert said in done.stderr


def test_the_same_layer_without_a_fault(faulty: Yoctovirt, places: Places, web: str) -> None:
    file = overlay(places, web)
    done = faulty.run(
        "build", "quick", "--with", str(file), "--target", "fault-library", timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert faulty.last_record()["error"] is None


def test_a_root_file_system_that_cannot_be_put_together(
    quick: Yoctovirt, places: Places, web: str
) -> None:
    file = overlay(places, web)
    done = quick.run("build", "quick", "--with", str(file), "--target", "fault-image", timeout=1200)
    assert done.returncode == 4, done.stdout + done.stderr
    (failure,) = failures(quick)
    assert (failure["task"], failure["cause"]) == ("do_rootfs", "postinst")
    assert "the set-up script of fault-postinst failed" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk(faulty: Yoctovirt, places: Places, web: str) -> None:
    small = places.root / "small"
    small.mkdir(mode=0o777)
    small.chmod(0o777)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40M,mode=777", "none", str(small)], check=True
    )
    try:
        file = overlay(places, web, f'TMPDIR = "{small}/tmp"\n')
        done = faulty.run(
            "build", "quick", "--with", str(file), "--target", "fault-full", timeout=600
        )
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the disk became full during the build" in done.stderr
    assert failures(faulty)[0]["cause"] == "disk-full"
    assert "No space left on device" in failures(faulty)[0]["lines"][0]


def test_a_second_role_takes_from_the_first(quick: Yoctovirt) -> None:
    """Whatever the order of the call: the one whose node starts first is built first."""
    folder = quick.workspace / "kas" / "inc"
    folder.mkdir(parents=True)
    (folder / "second.role.yml").write_text(
        "description: the role quick once more\nbuilder: kas\nrelease: scarthgap\n"
        "node: {order: 2}\n"
    )
    (folder / "second.yml").write_text("header: {version: 19, includes: [kas/inc/quick.yml]}\n")
    done = quick.run("build", "second", "quick", timeout=1800)
    assert done.returncode == 0, done.stderr
    assert done.stderr.index("==> build quick") < done.stderr.index("==> build second")
    run = quick.last_record()
    assert run["role"] == "second"
    figures = run["phases"][0]["details"]
    assert figures["sstate_local"] >= figures["sstate_wanted"] - 2 > 20

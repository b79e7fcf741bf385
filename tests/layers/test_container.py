"""A real build by the real kas-container, with bubblewrap in the place of an engine.

The program shows to kas what it was told to mount, and nothing else of this host but its
programs: so the command line names all that a build needs.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import Places
from tests.layers.test_quick import figures

pytestmark = [
    pytest.mark.layers,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="install bubblewrap (bwrap)"),
]

# The folder of kas-container's own that is left out, /work, may be one of the host here.
ENGINE = """\
#!/usr/bin/python3
import os, sys
argv = sys.argv[1:]
if argv[:2] == ["context", "show"]:
    print("default")
if argv[0] != "run":
    sys.exit(0)
mounts, env, rest = [], {{}}, argv[1:]
while rest and rest[0].startswith("-"):
    word = rest.pop(0)
    if word in ("-v", "-e", "--security-opt"):
        value = rest.pop(0)
        if word == "-v":
            mounts.append(value.split(":"))
        elif word == "-e":
            name, equals, text = value.partition("=")
            env[name] = text if equals else os.environ[name]
call = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--clearenv",
        "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc", "--proc", "/proc",
        "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/builder"]
for name in ("bin", "sbin", "lib", "lib64"):
    call += ["--symlink", f"usr/{{name}}", f"/{{name}}"]
call += ["--ro-bind", {prefix!r}, {prefix!r}]
for source, target, mode in mounts:
    if target != "/work":
        call += ["--ro-bind" if mode == "ro" else "--bind", source, target]
env.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/builder", LC_ALL="en_US.UTF-8")
for name, value in env.items():
    call += ["--setenv", name, value]
print("the engine runs", rest, flush=True)
os.execvp("bwrap", [*call, {python!r}, "-m", "kas", *rest[1:]])
"""


def test_a_build_that_sees_only_what_is_mounted(quick: Yoctovirt, places: Places) -> None:
    programs = places.root / "programs"
    programs.mkdir()
    engine = programs / "docker"
    engine.write_text(ENGINE.format(prefix=str(Path(sys.prefix)), python=sys.executable))
    engine.chmod(0o755)
    # kas's own image has not what quick borrows from its host; here it has the host's.
    path = f"{programs}:{quick.env['PATH']}"
    yv = places.workspace("contained", PATH=path, KAS_CONTAINER_IMAGE="none:none")
    yv.workspace.mkdir()
    (yv.workspace / "yoctovirt.yml").write_text("version: 1\n")
    (yv.workspace / "site.yml").write_text(
        f"sstate_mirrors: [{quick.workspace}/sstate-cache]\n"
        f"source_mirrors: [{quick.workspace}/downloads]\n"
    )
    done = yv.run("build", "quick", "--container=docker", timeout=1800)
    assert done.returncode == 0, done.stderr
    got = figures(yv)
    assert got["sstate_mirrors"] + got["sstate_local"] >= got["sstate_wanted"] - 2
    assert "the engine runs ['none:none', 'build'" in (
        yv.last_record()["path"] / "build.log"
    ).read_text()  # fmt: skip
    yv.assert_nothing_left()

    # It is booted outside, from the paths that it was built at.
    assert yv.run("boot", "quick", "--detach").returncode == 0
    try:
        assert yv.run("ssh", "quick", "true").returncode == 0
    finally:
        yv.run("stop", "quick")
    done = yv.run("build", "quick", timeout=600)
    assert done.returncode == 2
    assert "was built in a container" in done.stderr

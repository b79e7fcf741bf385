"""A ``poky`` whose bitbake is a script of the test: kas itself is the real one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gitrepos import repository
from tests.processes import SECONDS, alive
from tests.samples import deploy_dir

_INIT = """\
# Sourced by kas, as the real one.
OEROOT=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
export BUILDDIR=$1 BB_ENV_PASSTHROUGH_ADDITIONS="DL_DIR SSTATE_DIR"
export PATH=$OEROOT/bitbake/bin:$PATH
mkdir -p "$BUILDDIR/conf"
cd "$BUILDDIR"
"""

# What it is to do stands in <control>/do, what it saw goes to the files beside it.
_BITBAKE = """\
#!{python} -I
import json, os, pathlib, shutil, signal, subprocess, sys, time
control = pathlib.Path({control!r})
build = pathlib.Path(os.environ["BUILDDIR"])
(control / "seen.json").write_text(json.dumps({{"env": dict(os.environ), "argv": sys.argv,
                                               "cwd": os.getcwd(), "uid": os.getuid()}}))
do = (control / "do").read_text()
hits = []
def hit(*_):
    hits.append(1)
    (control / "hit").touch()
signal.signal(signal.SIGINT, hit)
server = pathlib.Path(sys.argv[0]).with_name("bitbake-server")
child = subprocess.Popen([sys.executable, "-I", str(server), str(control), str(os.getpid())],
                         start_new_session=True, stdout=subprocess.DEVNULL)
with (control / "pids").open("a") as pids:
    pids.write(f"{{os.getpid()}}\\n{{child.pid}}\\n")

def say(line):
    print(line, flush=True)

if "-w" in sys.argv and (control / "events").exists():
    shutil.copyfile(control / "events", sys.argv[sys.argv.index("-w") + 1])
if "-g" in sys.argv:
    say("Parsing of 2914 .bb files complete (0 cached, 2914 parsed). 4403 targets, 80 skipped, "
        "37 masked, 0 errors.")
    if do == "unresolved":
        say("ERROR: Nothing RPROVIDES 'gone' (but /x/poky/meta/a.bb RDEPENDS on or otherwise "
            "requires it)")
        say("NOTE: Runtime target 'gone' is unbuildable, removing...")
        say("ERROR: Required build target 'my-image' has no buildable providers.")
        sys.exit(1)
    if do == "host":
        say("ERROR:  OE-core's config sanity checker detected a potential misconfiguration.")
        say("    Please install the following missing utilities: chrpath")
        sys.exit(1)
    if do == "silent":
        sys.exit(3)
    (build / "pn-buildlist").write_text("one\\ntwo\\n")
    (build / "task-depends.dot").write_text(
        'digraph depends {{\\n"one.do_build" [label="one do_build\\\\n:1.0"]\\n'
        '"two.do_build" [label="two"]\\n"two.do_build" -> "one.do_build"\\n}}\\n')
    sys.exit(0)
if "-S" in sys.argv:
    given = sorted(control.glob("sigs-*"))
    if not given:
        say("ERROR: no signatures today")
        sys.exit(1)
    shutil.move(given[0], build / "locked-sigs.inc")
    for recipe, task, value in json.loads((control / "sigdata").read_text()):
        path = build / f"tmp/stamps/core2-64/{{recipe}}/1.0-r0.{{task}}.sigdata.{{value}}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    sys.exit(0)
say("Initialising tasks...Sstate summary: Wanted 53 Local 51 Mirrors 0 Missed 2 Current 7 "
    "(96% match, 97% complete)")
say("NOTE: Running task 3 of 127 (/x/poky/meta/recipes-core/busybox/busybox_1.36.1.bb:do_compile)")
if do == "fail":
    log = build / "tmp/work/core2-64/busybox/1.36.1/temp/log.do_compile.123"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("DEBUG: Executing shell function do_compile\\n"
                   "applets.c:3:5: error: 'nonsense' undeclared\\n"
                   "WARNING: exit code 1 from a shell command.\\n")
    say("ERROR: busybox-1.36.1-r0 do_compile: ExecutionError('x', 1, None, None)")
    say(f"ERROR: Logfile of failure stored in: {{log}}")
    say("ERROR: Task (/x/poky/meta/recipes-core/busybox/busybox_1.36.1.bb:do_compile) failed with "
        "exit code '1'")
    sys.exit(1)
if do in ("refused", "absent"):
    # A source whose server is down for as many builds as "down" says, or does not have it.
    down = control / "down"
    left = int(down.read_text()) if down.exists() else 1
    if do == "absent" or left:
        down.write_text(str(left - 1))
        why = "Connection refused" if do == "refused" else "2026-11-21 ERROR 404: Not Found."
        log = build / "tmp/work/core2-64/zlib/1.3/temp/log.do_fetch.77"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"DEBUG: Fetching http://s.invalid/z using command 'wget'\\n{{why}}\\n"
                       "ERROR: Bitbake Fetcher Error: FetchError('Unable to fetch URL from any "
                       "source.', 'http://s.invalid/z.tar.gz')\\n")
        say(f"ERROR: Logfile of failure stored in: {{log}}")
        say("ERROR: Task (/x/poky/meta/zlib_1.3.bb:do_fetch) failed with exit code '1'")
        sys.exit(1)
if do == "wait":
    (control / "waiting").touch()
    while len(hits) < 2 and not ((control / "finish").exists() and hits):
        time.sleep(0.02)
    say("Keyboard Interrupt, closing down..." if len(hits) == 1 else "Second Keyboard Interrupt")
    (control / "hits").write_text(str(len(hits)))
    sys.exit(1)
if do == "deaf":
    (control / "waiting").touch()
    while True:
        time.sleep(1)
if do != "nothing":
    target = build / "tmp/deploy/images/qemux86-64"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(control / "deploy", target)
say("NOTE: Tasks Summary: Attempted 127 tasks of which 114 didn't need to be rerun and all "
    "succeeded.")
"""

# As the real one it lives on a little after its user interface.
_SERVER = """\
import pathlib, sys, time
ui = pathlib.Path("/proc", sys.argv[2])
while ui.exists():
    time.sleep(0.02)
time.sleep(0.3)
(pathlib.Path(sys.argv[1]) / "server-ended").touch()
"""

# What it says of two files is what a real one says of two signatures.
_DIFFSIGS = """\
#!{python} -I
import sys
import time
print("NOTE: Starting bitbake server...")
if ".do_install." in sys.argv[1]:
    print("Hash for dependent task one.do_fetch changed from aaa to bbb")
    print("Variable MY_IP value changed from '192.168.7.2' to '192.168.7.4'")
else:
    print("Dependency on task one.do_install:virtual was changed")
    print("Hash for task dependency one:do_install changed from ccc to ddd")
"""

# The command line without what depends on this host: who builds, and what is installed.
_DRIVER = """\
import os, sys
from pathlib import Path
from yoctovirt.build.kas import builder, fetch, follow, resolve
from yoctovirt.build.kas.user import BuildUser
for module in (builder, fetch, resolve):
    module.choose_build_user = lambda named: BuildUser(None, os.getuid(), os.getgid(), Path.home())
    module.check_host = lambda *args, **kwargs: None
follow.STOP_SECONDS = float(sys.argv[1])
from yoctovirt.cli import main
main(sys.argv[2:])
"""

ROLE = """\
description: a role of the test
builder: kas
release: scarthgap
"""

KAS = """\
header:
  version: 19
  includes: [kas/inc/without-openstack.yml]
machine: qemux86-64
distro: nodistro
target: my-image
repos:
  poky:
    url: {url}
    branch: main
    commit: {commit}
    layers: {{meta: , meta-poky: disabled}}
  meta-openembedded: {{url: null, layers: {{.: disabled}}}}
  meta-virtualization: {{url: null, layers: {{.: disabled}}}}
"""


@dataclass(frozen=True)
class FakePoky:
    """A workspace with a role ``mine``, built by a bitbake that does what it is told."""

    workspace: Path
    control: Path
    url: str
    commit: str

    def do(self, what: str) -> None:
        (self.control / "do").write_text(what)

    def seen(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.control / "seen.json").read_text())
        return data

    def wait_for_a_hit(self) -> None:
        """Return when its bitbake has heard of a Ctrl-C: sooner, a second one could overtake it."""
        end = time.monotonic() + SECONDS
        while not (self.control / "hit").exists():
            assert time.monotonic() < end
            time.sleep(0.02)

    def pids(self) -> list[int]:
        path = self.control / "pids"
        return [int(word) for word in path.read_text().split()] if path.exists() else []

    def left(self) -> list[int]:
        return [pid for pid in self.pids() if alive(pid)]

    def argv(self, *arguments: str, stop_seconds: float = 60.0) -> list[str]:
        return [sys.executable, "-c", _DRIVER, str(stop_seconds),
                "--workspace", str(self.workspace), *arguments]  # fmt: skip

    def call(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments), env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def record(self) -> Path:
        return max((self.workspace / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def fake_poky(base: Path) -> FakePoky:
    """Make the repository, the role and the control folder below *base*."""
    control, poky, workspace = base / "control", base / "poky", base / "ws"
    control.mkdir()
    scripts = {
        "oe-init-build-env": _INIT,
        "bitbake/bin/bitbake": _BITBAKE.format(python=sys.executable, control=str(control)),
        "bitbake/bin/bitbake-server": _SERVER,
        "bitbake/bin/bitbake-diffsigs": _DIFFSIGS.format(python=sys.executable),
        "meta/conf/layer.conf": "",
        "scripts/runqemu": "#!/bin/sh\n",
    }
    for name, text in scripts.items():
        (poky / name).parent.mkdir(parents=True, exist_ok=True)
        (poky / name).write_text(text)
        if text.startswith("#!"):
            (poky / name).chmod(0o755)
    assert (poky / "bitbake/bin/bitbake").stat().st_mode & stat.S_IXUSR
    commit = repository(poky, README="a poky")
    deploy_dir(control / "deploy", "my-image-qemux86-64")
    folder = workspace / "kas" / "inc"
    folder.mkdir(parents=True)
    url = f"file://{poky}"
    (folder / "mine.role.yml").write_text(ROLE)
    (folder / "mine.yml").write_text(KAS.format(url=url, commit=commit))
    fake = FakePoky(workspace, control, url, commit)
    fake.do("build")
    return fake

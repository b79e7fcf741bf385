"""Tempest on a node: its configuration, a run in the background, and what each test came to."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.neutron import existing_outside
from yoctovirt.smoke.suites.aids.rest import V3, Rest

#: Services that tempest asks for, the type in the catalog that shows each, the promise of each.
_SERVICES = {
    "nova": ("compute", "nova-api"),
    "glance": ("image", "glance"),
    "neutron": ("network", "neutron-server"),
    "cinder": ("volumev3", "cinder"),
    "swift": ("object-store", "swift"),
}

#: Writes its standard input with the administrator's credentials of the environment: they stand
#: in no command. ``$`` begins a reference in files of oslo.config.
_CONFIGURE = (
    V3
    + """
import os, sys
text = sys.stdin.read()
words = {"USER": "OS_USERNAME", "PASSWORD": "OS_PASSWORD", "PROJECT": "OS_PROJECT_NAME",
         "DOMAIN": "OS_USER_DOMAIN_NAME", "REGION": "OS_REGION_NAME", "URL": "OS_AUTH_URL"}
for word, name in words.items():
    value = os.environ.get(name) or {"DOMAIN": "Default", "REGION": "RegionOne"}.get(word, "")
    if word == "URL":
        value = v3(value)
    text = text.replace("@%s@" % word, value.replace("$", "$$"))
with os.fdopen(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
    file.write(text)
"""
)

#: ``RESULTS NAME...``: runs the tests one class after the other, writes a line of JSON for each.
#: What a class cannot set up all its tests lack. On SIGTERM the class at work is cleaned up.
_RUN = """
import json, signal, sys, time, traceback, unittest
results, names = sys.argv[1], sys.argv[2:]
def end(*ignored):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, end)
class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.told, self.all, self.begun = {}, None, {}
    def startTest(self, test):
        super().startTest(test)
        self.begun[test.id()] = time.time()
    def say(self, test, outcome, text):
        found = [name for name in names if test.id().partition("[")[0] == name]
        if not found:
            self.all = outcome, text
            return
        begun = self.begun.get(test.id(), time.time())
        self.told[found[0]] = outcome, text, time.time() - begun
    def addSuccess(self, test):
        self.say(test, "passed", "")
    def addSkip(self, test, reason):
        self.say(test, "skipped", reason)
    def addFailure(self, test, error):
        if isinstance(getattr(test, "_exception", None), AttributeError):
            self.all = "absent", str(test._exception)
        else:
            self.say(test, "failed", "".join(traceback.format_exception(*error)))
    addError = addFailure
    def addUnexpectedSuccess(self, test):
        self.say(test, "failed", "an unexpected success")
    def addExpectedFailure(self, test, error):
        self.say(test, "passed", "")
classes = {}
for name in names:
    classes.setdefault(name.rpartition(".")[0], []).append(name)
for tests in classes.values():
    result, suite, begun = Result(), None, time.time()
    try:
        suite = unittest.defaultTestLoader.loadTestsFromNames(tests)
        # A name that is not there stands for itself alone.
        suite.run(result)
    except KeyboardInterrupt:
        unittest.TestSuite()._tearDownPreviousClass(None, result)
        sys.exit(1)
    with open(results, "a") as file:
        for name in tests:
            lost = (*(result.all or ("failed", "it was not run")), time.time() - begun)
            outcome, text, seconds = result.told.get(name, lost)
            file.write(json.dumps({"name": name, "outcome": outcome, "seconds": round(seconds, 1),
                                   "text": text[-6000:]}) + "\\n")
"""


@dataclass(frozen=True)
class Result:
    """What one test of tempest came to."""

    outcome: str  #: passed, skipped, failed; absent: the tempest of the node has no such test
    text: str  #: the trace of a failure, the reason of a skip
    seconds: float


@dataclass(frozen=True)
class Tempest:
    """A run of tempest on *node*; *folder* has its configuration and its results."""

    node: SmokeNode
    folder: str

    def result(self, name: str, seconds: float) -> Result:
        """Return what the test *name* came to; wait for it at most *seconds* of the node's.

        Fails the check where it has not ended by then, and where the run ended without it.
        """
        line = f"grep -F {shlex.quote(json.dumps(name))} {self.folder}/results"
        done = self.node.run(
            f"end=$(($(date +%s) + {int(seconds)}))\n"
            f"while ! {line} 2>/dev/null; do\n"
            f"  kill -0 $(cat {self.folder}/pid) 2>/dev/null || {{ {line} && exit; exit 3; }}\n"
            f'  [ "$(date +%s)" -lt $end ] || exit 4\n'
            f"  sleep 1\n"
            f"done",
            timeout=seconds + 30,
        )
        if done.exit_status == 4:
            pytest.fail(f"tempest has not ended this test within {seconds:.0f} s", pytrace=False)
        if not done.ok:
            said = self.node.run(f"tail -n 20 {self.folder}/said").output.strip()
            pytest.fail(f"tempest ended without running this test:\n{said}", pytrace=False)
        told = json.loads(done.output.strip().splitlines()[-1])
        return Result(told["outcome"], told["text"], told["seconds"])


def configure(rest: Rest, undo: Undo, promises: set[str], given: dict[str, dict[str, Any]]) -> str:
    """Write a tempest.conf from the catalog, what is promised, and *given*; return its folder.

    A service is asked for where the catalog has it or *promises* have: what is promised and not
    there must fail, not be skipped.
    """
    folder = f"{rest.folder}-tempest"
    undo(f"rm -rf {folder}")
    rest.cloud.node.check(f"mkdir -p -m 700 {folder}/lock")
    types = rest.types()
    there = {
        service: str(kind in types or promise in promises).lower()
        for service, (kind, promise) in _SERVICES.items()
    }
    outside = existing_outside(rest) if "network" in types else ""
    sections: dict[str, dict[str, Any]] = {
        "DEFAULT": {"log_file": f"{folder}/tempest.log"},
        "oslo_concurrency": {"lock_path": f"{folder}/lock"},
        "auth": {
            "use_dynamic_credentials": "true", "create_isolated_networks": "false",
            "admin_username": "@USER@", "admin_password": "@PASSWORD@",
            "admin_project_name": "@PROJECT@", "admin_domain_name": "@DOMAIN@",
        },
        "identity": {"uri_v3": "@URL@", "auth_version": "v3", "region": "@REGION@"},
        "identity-feature-enabled": {"api_v2": "false", "api_v2_admin": "false"},
        "service_available": {**there, "horizon": "false"},
        "validation": {"run_validation": "false"},
        "object-storage": {"operator_role": "member"},
        "network": {"public_network_id": outside} if outside else {},
        **given,
    }  # fmt: skip
    text = "".join(
        f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for section, values in sections.items()
    )
    program = f"python3 -c {shlex.quote(_CONFIGURE)} {folder}/tempest.conf"
    done = rest.cloud.shell(f"{program} <<'CONF'\n{text}CONF")
    assert done.ok, f"no tempest.conf can be written: {done.output.strip()}"
    return folder


def start(node: SmokeNode, undo: Undo, folder: str, names: list[str]) -> Tempest:
    """Start the tests *names* with the configuration in *folder*; *undo* ends them."""
    node.put(_RUN.encode(), f"{folder}/run.py")
    undo(
        f"kill $(cat {folder}/pid) 2>/dev/null\nfor turn in $(seq 60); do\n"
        f"  kill -0 $(cat {folder}/pid) 2>/dev/null || exit 0\n  sleep 1\ndone\n"
        f"kill -9 $(cat {folder}/pid)",
        90,
    )
    node.check(
        f"cd {folder}\n"
        f"TEMPEST_CONFIG_DIR={folder} TEMPEST_CONFIG=tempest.conf nohup python3 run.py "
        f"{folder}/results {' '.join(map(shlex.quote, names))} >said 2>&1 </dev/null &\n"
        f"echo $! >{folder}/pid"
    )
    return Tempest(node, folder)

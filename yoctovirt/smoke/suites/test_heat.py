"""Suite heat: a template becomes a stack, changes, is suspended, resumes, leaves nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import (
    VERSION,
    compute_hosts,
    make_flavor,
    new_name,
    open_rest,
    upload_guest,
)
from yoctovirt.smoke.suites.aids.openstack import said_by
from yoctovirt.smoke.suites.aids.rest import Answer, Rest

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("heat-api.service", "heat-engine.service", "rabbitmq-server.service",
         "keystone.service")  # fmt: skip
DIAGNOSTICS = ("tail -n 60 /var/log/heat/*.log", "tail -n 60 /var/log/nova/nova-api*.log")

_TYPE = "orchestration"
#: Seconds until a stack has come to another state: its server may be emulated.
STATE = 240.0
#: Seconds until heat has begun with what it was asked for.
BEGUN = 30.0
#: Of the random word that each stack has, before the update and after it.
_LENGTH, _LONGER = 12, 20

_WORD = {"type": "OS::Heat::RandomString", "properties": {"length": {"get_param": "length"}}}
_NETWORK = {"type": "OS::Neutron::Net", "properties": {"name": {"get_param": "network_name"}}}
#: Heat makes a user for it, in the domain of its own that keystone has for that.
_HANDLE = {
    "type": "OS::Heat::WaitConditionHandle", "properties": {"signal_transport": "HEAT_SIGNAL"},
}  # fmt: skip
_SERVER = {
    "type": "OS::Nova::Server",
    "properties": {
        "name": {"get_param": "server_name"},
        "image": {"get_param": "image"},
        "flavor": {"get_param": "flavor"},
        "networks": [{"allocate_network": "none"}],
    },
}


@pytest.fixture(scope="module")
def rest(node: SmokeNode, module_undo: Undo) -> Rest:
    """Return the services, as the administrator."""
    return open_rest(node, module_undo)


@dataclass(frozen=True)
class Stack:
    """A stack that the client was told to make of a template."""

    rest: Rest
    name: str
    template: str  #: its file on the node
    resources: tuple[str, ...]
    parameters: dict[str, str]
    created: CommandResult

    @property
    def id(self) -> str:
        """What heat calls it; fails the check where it was not made."""
        assert self.created.ok, f"no stack can be made: {said_by(self.created)}"
        return self.created.output.split()[-1]

    @property
    def path(self) -> str:
        """Where the service has it."""
        return f"/stacks/{self.name}/{self.id}"

    def show(self) -> dict[str, Any]:
        """Return what heat says of it."""
        shown: dict[str, Any] = self.rest.get(_TYPE, self.path)["stack"]
        return shown

    def wait_for(self, *states: str) -> dict[str, Any]:
        """Return what heat says of it in one of *states*; fail the check where it gets to none."""
        shown: dict[str, Any] = {}

        def look(begun: str = "") -> str:
            nonlocal shown
            shown = self.show()
            state = str(shown["stack_status"])
            if state.endswith("_FAILED"):
                raise AssertionError(f"the stack is {state}: {self._reasons(shown)}")
            return "" if state in states or (begun and state.endswith(begun)) else state

        said = self.rest.until(lambda: look("_IN_PROGRESS"), BEGUN) or self.rest.until(look, STATE)
        assert not said, f"the stack is {said}, it should be {' or '.join(states)}"
        return shown

    def settled(self) -> dict[str, Any]:
        """Return what heat says of it where it is usable, whatever was done with it last."""
        return self.wait_for("CREATE_COMPLETE", "UPDATE_COMPLETE", "RESUME_COMPLETE")

    def _reasons(self, shown: dict[str, Any]) -> str:
        listed = self.rest.get(_TYPE, f"{self.path}/resources")["resources"]
        failed = [f"{one['resource_name']}: {one['resource_status_reason']}" for one in listed
                  if one["resource_status"].endswith("_FAILED")]  # fmt: skip
        return "; ".join(failed) or str(shown.get("stack_status_reason"))

    def outputs(self) -> dict[str, Any]:
        """Return what the template's outputs say."""
        return {one["output_key"]: one.get("output_value") for one in self.show()["outputs"]}

    def client(self, command: str, why: str) -> None:
        """Have the client do *command* with it."""
        self.rest.cloud.check(f"stack {command} {self.name}", why=why)

    def server(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return what nova says of its server."""
        shown: dict[str, Any] = self.rest.get("compute", f"/servers/{output['server']}", VERSION)[
            "server"
        ]
        return shown


def _options(template: str, parameters: dict[str, str]) -> str:
    """Return the client's options for *template* with *parameters*."""
    given = " ".join(f"--parameter {key}={value}" for key, value in parameters.items())
    return f"-t {template} {given}"


@pytest.fixture(scope="module")
def stack(node: SmokeNode, rest: Rest, nodes: dict[str, SmokeNode], module_undo: Undo) -> Stack:
    """Have the client make a stack: a random word, a handle to signal to; network and server.

    The last two as far as there are such.

    It is deleted at the end.
    """
    name = new_name()
    resources: dict[str, Any] = {"word": _WORD, "handle": _HANDLE}
    parameters = {"length": str(_LENGTH)}
    outputs: dict[str, Any] = {"word": {"value": {"get_attr": ["word", "value"]}}}
    if "neutron-server" in node.promises:
        resources["network"] = _NETWORK
        parameters["network_name"] = f"{name}-network"
    if any("nova-compute" in one.promises for one in nodes.values()):
        compute_hosts(rest, nodes)
        images, flavor = upload_guest(rest, module_undo), make_flavor(rest, module_undo)
        resources["server"] = _SERVER
        parameters.update(server_name=f"{name}-server", image=images.disk, flavor=flavor)
    outputs.update({key: {"value": {"get_resource": key}} for key in resources if key != "word"})
    template = {
        "heat_template_version": "2016-10-14",
        "parameters": {key: {"type": "string"} for key in parameters},
        "resources": resources,
        "outputs": outputs,
    }
    file = f"{rest.folder}/{name}.yaml"
    node.put(json.dumps(template, indent=1).encode(), file)  # JSON is YAML
    module_undo(
        f". {rest.cloud.openrc}\nopenstack stack show {name} >/dev/null 2>&1 || exit 0\n"
        f"openstack stack delete --yes --wait {name}",
        180,
    )
    created = rest.cloud.run(f"stack create -f value -c id {_options(file, parameters)} {name}")
    return Stack(rest, name, file, tuple(resources), parameters, created)


def _refused(answer: Answer, status: int, what: str) -> None:
    assert answer.status == status, f"{what} should give {status}, came {answer.said}"


@pytest.mark.deadline(300)
def test_services(rest: Rest) -> None:
    """The API answers, an engine is up, and it refuses a template that cannot be."""

    def look() -> str:
        answer = rest.call("GET", _TYPE, "/services")
        # It has waited for an engine long enough before it says so.
        assert answer.ok, f"heat gives no list of its engines: {answer.said}"
        up = [one["hostname"] for one in answer.body["services"] if one["status"] == "up"]
        return "" if up else "no engine is up"

    said = rest.until(look, 90)
    assert not said, said
    wrong = {"heat_template_version": "2016-10-14",
             "resources": {"word": {"type": "OS::Yoctovirt::Nothing"}}}  # fmt: skip
    body = {"stack_name": new_name(), "template": wrong}
    _refused(rest.call("POST", _TYPE, "/validate", {"template": wrong}), 400,
             "a template with an unknown type")  # fmt: skip
    _refused(rest.call("POST", _TYPE, "/stacks", body), 400, "a stack of such a template")


@pytest.mark.deadline(600)
def test_stack(stack: Stack) -> None:
    """A template becomes a stack: each resource is made, the outputs say which they are."""
    stack.wait_for("CREATE_COMPLETE")
    listed = stack.rest.get(_TYPE, f"{stack.path}/resources")["resources"]
    states = {one["resource_name"]: one["resource_status"] for one in listed}
    assert states == dict.fromkeys(stack.resources, "CREATE_COMPLETE"), (
        f"the template has {', '.join(stack.resources)}; the stack has {states}"
    )
    outputs = stack.outputs()
    assert set(outputs) == set(stack.resources), f"outputs should be of each resource: {outputs}"
    assert len(outputs["word"] or "") == _LENGTH, (
        f"a word of {_LENGTH} letters was asked for, the output is {outputs['word']!r}"
    )
    if "network" in outputs:
        network = stack.rest.get("network", f"/v2.0/networks/{outputs['network']}")["network"]
        assert network["name"] == stack.parameters["network_name"], (
            f"the network should be {stack.parameters['network_name']}, it is {network['name']}"
        )


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_server(stack: Stack) -> None:
    """The server of the template is ACTIVE, with the name, image and flavor that were given."""
    stack.settled()
    shown = stack.server(stack.outputs())
    came = (shown["status"], shown["name"], shown["image"]["id"])
    expected = ("ACTIVE", stack.parameters["server_name"], stack.parameters["image"])
    assert came == expected, f"the server should be {expected}, for nova it is {came}"


@pytest.mark.deadline(600)
def test_update(stack: Stack) -> None:
    """With other parameters a resource is made anew, another one changed where it is."""
    stack.settled()
    before = stack.outputs()
    name = f"{stack.name}-renamed"
    changed = {"length": str(_LONGER), **({"network_name": name} if "network" in before else {})}
    options = _options(stack.template, {**stack.parameters, **changed})
    stack.client(f"update {options}", "the stack cannot be updated")
    stack.wait_for("UPDATE_COMPLETE")
    after = stack.outputs()
    assert len(after["word"] or "") == _LONGER, (
        f"the word was to have {_LONGER} letters after the update, it is {after['word']!r}"
    )
    kept = {key: value for key, value in after.items() if key != "word"}
    assert kept == {key: before[key] for key in kept}, (
        f"the update was to keep its resources, they were {before}, are {after}"
    )
    if "network" in after:
        network = stack.rest.get("network", f"/v2.0/networks/{after['network']}")["network"]
        assert network["name"] == name, (
            f"the network was to be renamed {name} by the update, it is {network['name']}"
        )


@pytest.mark.deadline(900)
def test_suspend(stack: Stack) -> None:
    """A suspended stack has its server suspended; resumed, it runs again."""
    stack.settled()
    outputs = stack.outputs()
    for command, state, of_server in (
        ("suspend", "SUSPEND_COMPLETE", "SUSPENDED"),
        ("resume", "RESUME_COMPLETE", "ACTIVE"),
    ):
        stack.client(command, f"{command} is refused")
        stack.wait_for(state)
        if "server" in outputs:
            came = stack.server(outputs)["status"]
            assert came == of_server, f"the stack is {state}, for nova its server is {came}"


@pytest.mark.deadline(600)
def test_delete(stack: Stack) -> None:
    """A deleted stack is gone, and so is all that was made of its template."""
    stack.settled()
    outputs = stack.outputs()
    stack.client("delete --yes", "the stack cannot be deleted")

    def look() -> str:
        # By its id heat still knows a stack that it has deleted; a moment after that state it
        # lists it no more.
        answer = stack.rest.call("GET", _TYPE, stack.path)
        state = answer.body["stack"]["stack_status"] if answer.ok else answer.said
        if answer.status != 404 and state != "DELETE_COMPLETE":
            return f"there: {state}"
        listed = stack.rest.get(_TYPE, f"/stacks?name={stack.name}")["stacks"]
        return f"listed: {listed[0]['stack_status']}" if listed else ""

    said = stack.rest.until(look, STATE)
    assert not said, f"the deleted stack is still {said}"
    for key, kind, path in (
        ("network", "network", "/v2.0/networks"), ("server", "compute", "/servers"),
    ):  # fmt: skip
        if key in outputs:
            left = stack.rest.call("GET", kind, f"{path}/{outputs[key]}")
            _refused(left, 404, f"the stack is gone: its {key}")

"""Volumes and snapshots of cinder's, as the administrator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import new_name, open_rest, removal
from yoctovirt.smoke.suites.aids.openstack import read_catalog
from yoctovirt.smoke.suites.aids.rest import Rest

#: Names that catalogs have for the block storage API of version 3.
_TYPES = ("volumev3", "block-storage", "volume")
#: Version of its API in which messages can be asked for by what they are about.
_MESSAGES = "3.27"
#: Seconds until a volume or a snapshot has another state.
STATE = 120.0


@dataclass(frozen=True)
class Volumes:
    """The block storage service, as the administrator."""

    rest: Rest
    type: str

    def get(self, path: str) -> Any:
        """Return what it gives."""
        return self.rest.get(self.type, path)

    def make(self, undo: Undo, kind: str, **further: Any) -> str:
        """Ask for a volume or a snapshot (*kind*) and return its id; *undo* deletes it."""
        body = {kind: {"name": new_name(), **further}}
        made: str = self.rest.post(self.type, f"/{kind}s", body, f"no {kind} can be made")[kind][
            "id"
        ]
        undo(removal(self.rest, self.type, f"/{kind}s/{made}", seconds=120), 180)
        return made

    def wait_for(
        self,
        kind: str,
        one: str,
        state: str = "available",
        trouble: Callable[[], str] = lambda: "",
    ) -> dict[str, Any]:
        """Return what cinder says of it in *state*; fail the check where it comes to no such.

        *trouble* tells why nobody works on it any more, or ''.
        """
        shown: dict[str, Any] = {}

        def look() -> str:
            nonlocal shown
            shown = self.get(f"/{kind}s/{one}")[kind]
            is_there = str(shown["status"])
            if is_there.startswith("error"):
                raise AssertionError(
                    f"the {kind} is in {is_there}, not {state}: {self.reason(one)}"
                )
            if is_there == state:
                return ""
            why = trouble()
            if why:
                raise AssertionError(f"the {kind} is still {is_there}, not {state}: {why}")
            return is_there

        said = self.rest.until(look, STATE)
        assert not said, f"the {kind} is still {said}, not {state}"
        return shown

    def reason(self, one: str) -> str:
        """Return what cinder tells its users of why *one* failed (messages, of API 3.3)."""
        told = self.rest.call("GET", self.type, f"/messages?resource_uuid={one}", None, _MESSAGES)
        if not told.ok or not told.body.get("messages"):
            return "cinder gives no reason, its logs may (kept as evidence)"
        return "; ".join(message["user_message"] for message in told.body["messages"])

    def in_use(self) -> dict[str, int]:
        """Return how many volumes, snapshots and GiB count for the administrator's project."""
        project = self.rest.cloud.project_id
        quotas = self.get(f"/os-quota-sets/{project}?usage=true")["quota_set"]
        return {key: quotas[key]["in_use"] for key in ("volumes", "snapshots", "gigabytes")}

    def gone(self, kind: str, one: str) -> None:
        """Delete it; fail the check where cinder refuses, or still has it after a while."""
        path = f"/{kind}s/{one}"
        done = self.rest.call("DELETE", self.type, path)
        assert done.ok, f"the {kind} cannot be deleted: {done.said}"

        def look() -> str:
            left = self.rest.call("GET", self.type, path)
            return "" if left.status == 404 else str(left.body[kind]["status"])

        said = self.rest.until(look, STATE)
        assert not said, f"the {kind} was deleted, and is {said}"


def open_volumes(node: SmokeNode, undo: Undo) -> Volumes:
    """Return the block storage service; fail the check where the catalog has none."""
    rest = open_rest(node, undo)
    known = {endpoint.type for endpoint in read_catalog(rest.cloud)}
    found = [name for name in _TYPES if name in known]
    assert found, f"the catalog has no block storage service: {', '.join(sorted(known))}"
    return Volumes(rest, found[0])

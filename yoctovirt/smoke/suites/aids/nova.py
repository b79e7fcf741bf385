"""Guests of nova's: a small Linux made of what the node has, servers of it, and their end."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids import linux
from yoctovirt.smoke.suites.aids.openstack import find_cloud
from yoctovirt.smoke.suites.aids.qcow2 import make_qcow2
from yoctovirt.smoke.suites.aids.rest import Rest

#: Of OpenStack Train and later: networks "none", the host to start on.
VERSION = "2.74"
#: Of Ussuri and later: what went wrong in an action.
_DETAILS = "2.84"
#: Seconds until a server has another state, and until its guest has said something: a guest
#: under TCG, on a node that may itself be emulated.
STATE = 120.0
WORD = 150.0
_MODULES = ("virtio_pci", "virtio_net", "virtio_blk")
#: Not wget: that of a BusyBox that is linked statically with glibc may die while it resolves.
_APPLETS = ("udhcpc", "nc", "sed", "tr", "head", "sync", "dd")

#: What udhcpc calls with what a DHCP server gave (BusyBox: networking/udhcp).
_DHCP = """#!/bin/sh
case $1 in bound | renew) ;; *) exit 0 ;; esac
ip addr add "$ip/${mask:-24}" dev "$interface"
if [ -n "$staticroutes" ]; then
    set -- $staticroutes
    while [ $# -ge 2 ]; do
        if [ "$2" = 0.0.0.0 ]; then ip route add "$1" dev "$interface"
        else ip route add "$1" via "$2" dev "$interface"; fi
        shift 2
    done
elif [ -n "$router" ]; then ip route add default via "${router%% *}" dev "$interface"; fi
echo "@WORD@ address $ip" >/dev/console
"""

_INIT = r"""
boot=$(cat /proc/sys/kernel/random/boot_id)
# Its own disk: as it came, or with the word of a boot before this one.
disk=none
if [ -b /dev/vda ]; then
    case $(dd if=/dev/vda bs=512 skip=1 count=1 2>/dev/null | tr -d '\0') in
    @WORD@*) disk=kept ;;
    *) disk=new ;;
    esac
    printf '%-511s\n' @WORD@ | dd of=/dev/vda bs=512 seek=1 count=1 2>/dev/null && sync ||
        disk=read-only
fi
echo "@WORD@ up $boot $disk"
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    udhcpc -i eth0 -s /dhcp -O staticroutes -t 20 -T 3 -n -q >/dev/null 2>&1 ||
        echo "@WORD@ address none"
    turns=0
    while [ $turns -lt 20 ]; do
        turns=$((turns + 1))
        told=$(printf 'GET /openstack/latest/meta_data.json HTTP/1.0\r\nHost: metadata\r\n\r\n' |
            nc -w 10 169.254.169.254 80 2>&1 | tr -d '\r')
        uuid=$(echo "$told" | tr -d '\n' | sed -n 's/.*"uuid": *"\([^"]*\)".*/\1/p')
        [ -z "$uuid" ] || break
        sleep 2
    done
    echo "@WORD@ metadata ${uuid:-none: $(echo "$told" | head -n 1)}"
    # Of its metadata: whom it is to reach.
    peer=$(echo "$told" | tr -d '\n' | sed -n 's/.*"peer": *"\([^"]*\)".*/\1/p')
    [ -z "$peer" ] || {
        while ! ping -c 1 -W 2 "$peer" >/dev/null 2>&1; do sleep 2; done
        echo "@WORD@ reached $peer"
    } &
fi
echo "@WORD@ ready"
# A disk that is plugged in: says its sectors and what it holds, writes a word of its own.
# Between, now and then, that it still lives: on another node it has a console of that one's.
turn=0
plugged=
beat=0
while :; do
    sleep 2
    beat=$((beat + 1))
    [ $((beat % 5)) != 0 ] || echo "@WORD@ alive $boot $beat"
    if [ ! -b /dev/vdb ]; then
        [ -z "$plugged" ] || echo "@WORD@ unplugged $turn"
        plugged=
    elif [ -z "$plugged" ]; then
        plugged=yes
        turn=$((turn + 1))
        held=$(head -c 512 /dev/vdb | tr -d '\0\n')
        printf '%-511s\n' "@WORD@-$turn" >/dev/vdb && sync && wrote=@WORD@-$turn || wrote=nothing
        echo "@WORD@ volume $(cat /sys/block/vdb/size) wrote $wrote held" ${held:-nothing}
    fi
done
"""


def new_name() -> str:
    """Return a name for what a check makes, that nothing else has."""
    return f"yoctovirt-{secrets.token_hex(4)}"


def open_rest(node: SmokeNode, undo: Undo) -> Rest:
    """Return the services as the administrator of *node*; *undo* removes what stands there."""
    rest = Rest(find_cloud(node), f"/run/{new_name()}")
    undo(f"rm -rf {rest.folder}")
    rest.install()
    return rest


def removal(
    rest: Rest, kind: str, path: str, version: str = "", seconds: int = 60, shown: str = ""
) -> str:
    """Return a script that deletes *path* and waits until the service knows it no more.

    *shown* is where it is looked for, where that is not *path*.
    """
    delete = rest.line("DELETE", kind, path, version)
    look = rest.line("GET", kind, shown or path, version)
    return (
        f". {rest.cloud.openrc}\nend=$(($(date +%s) + {seconds}))\ntries=0\n"
        f"while :; do\n"
        f"  said=$({delete} </dev/null)\n"
        f"  told=$({look} </dev/null)\n"
        f"  case $told in 404*) exit 0 ;; esac\n"
        # A first call that got no answer in all that time is made once more.
        f"  tries=$((tries + 1))\n"
        f'  [ "$(date +%s)" -lt $end ] || [ $tries -lt 2 ] || break\n'
        f"  sleep 2\n"
        f"done\n"
        f'printf "%s\\n%s\\n" "$said" "$told"; exit 1'
    )


@dataclass(frozen=True)
class Images:
    """A disk, and the kernel and initramfs that nova starts with it; the guest says *word*."""

    disk: str
    word: str


def upload_guest(rest: Rest, undo: Undo, visibility: str = "shared") -> Images:
    """Make the guest on the node and upload it; *undo* removes it.

    *visibility*: ``public`` where users of other projects boot it, too.
    """
    node = rest.cloud.node
    name, word = new_name(), f"guest-{secrets.token_hex(6)}"
    folder = f"/var/tmp/{name}"
    undo(f"rm -rf {folder}")
    node.check(f"mkdir {folder}")
    kernel, release = linux.find_any_kernel(node)
    linux.make_initramfs(
        node, f"{folder}/initramfs", _INIT.replace("@WORD@", word), _MODULES,
        release=release, applets=_APPLETS,
files={"dhcp": _DHCP.replace("@WORD@", word)},
    )  # fmt: skip
    node.put(make_qcow2(secrets.token_bytes(512)), f"{folder}/disk")
    serial = "ttyAMA0" if node.check("uname -m").strip() == "aarch64" else "ttyS0"
    made: dict[str, str] = {}
    # Not as "aki" and "ari": where nova fetches them for a migration it refuses those formats, for
    # the content is none of them (nova's check of images since 2024).
    for part, file in (("kernel", kernel), ("ramdisk", f"{folder}/initramfs")):
        made[part] = upload_image(
            rest, undo, f"{name}-{part}", "bare", "raw", file, {"visibility": visibility}
        )
    properties = {
        "visibility": visibility,
        "kernel_id": made["kernel"], "ramdisk_id": made["ramdisk"],
        "os_command_line": f"console={serial} loglevel=1 panic=-1",
        # A guest without acpid: nova need not wait a minute for it at each stop.
        "os_shutdown_timeout": "2",
    }  # fmt: skip
    disk = upload_image(rest, undo, name, "bare", "qcow2", f"{folder}/disk", properties)
    return Images(disk, word)


def upload_image(
    rest: Rest, undo: Undo, name: str, container: str, form: str, file: str,
    properties: dict[str, str],
) -> str:  # fmt: skip
    """Upload *file* of the node as an image and return its id; *undo* deletes it."""
    body = {"name": name, "container_format": container, "disk_format": form, **properties}
    image: str = rest.post("image", "/v2/images", body, "no image can be made")["id"]
    undo(removal(rest, "image", f"/v2/images/{image}"), 120)
    done = rest.cloud.shell(f"{rest.line('PUT', 'image', f'/v2/images/{image}/file')} <{file}", 120)
    assert done.output.startswith("204"), f"an image cannot be uploaded: {done.output.strip()}"
    return image


def make_flavor(rest: Rest, undo: Undo) -> str:
    """Return the id of a flavor of ours: small, with a disk, so that placement counts all."""
    body = {"flavor": {"name": new_name(), "ram": 192, "vcpus": 1, "disk": 1}}
    flavor: str = rest.post("compute", "/flavors", body, "no flavor can be made")["flavor"]["id"]
    undo(removal(rest, "compute", f"/flavors/{flavor}"), 120)
    return flavor


@dataclass(frozen=True)
class Server:
    """A server of ours."""

    rest: Rest
    id: str
    name: str
    word: str

    @property
    def path(self) -> str:
        """Where the service has it."""
        return f"/servers/{self.id}"

    def show(self) -> dict[str, Any]:
        """Return what nova says of it."""
        shown: dict[str, Any] = self.rest.get("compute", self.path, VERSION)["server"]
        return shown

    def wait_for(self, state: str, seconds: float = STATE) -> dict[str, Any]:
        """Return what nova says of it in *state*; fail the check where it does not come there."""
        shown: dict[str, Any] = {}

        def look() -> str:
            nonlocal shown
            shown = self.show()
            if shown["status"] == state and not shown.get("OS-EXT-STS:task_state"):
                return ""
            if shown["status"] == "ERROR" and state != "ERROR":
                raise AssertionError(f"the server is in ERROR, not {state}: {_fault(shown)}")
            return f"{shown['status']} (task: {shown.get('OS-EXT-STS:task_state') or 'none'})"

        said = self.rest.until(look, seconds)
        assert not said, f"the server is still {said}, not {state}"
        return shown

    def trouble(self) -> str:
        """Return why the newest action with it failed, or '': not known, or it did not fail."""
        path = f"{self.path}/os-instance-actions"
        actions = self.rest.get("compute", path, VERSION)["instanceActions"]
        newest = max(actions, key=lambda one: str(one["start_time"]))
        done = self.rest.call("GET", "compute", f"{path}/{newest['request_id']}", None, _DETAILS)
        events = (done.body["instanceAction"].get("events") or []) if done.ok else []
        said = [str(event["details"]) for event in events if event.get("details")]
        return f"{newest['action']}: {said[-1].strip()[:600]}" if said else ""

    def act(self, action: str, argument: Any = None) -> Any:
        """Have nova do *action* with it."""
        body = {action: argument}
        return self.rest.post(
            "compute", f"{self.path}/action", body, f"nova refuses {action}", VERSION
        )

    def console(self) -> str:
        """Return what its guest has said on the serial console, as nova has it."""
        told = self.act("os-getConsoleOutput", {"length": 400})
        return str(told["output"]) if isinstance(told, dict) else ""

    def hear(self, what: str, but: str = "", seconds: float = WORD, why: str = "") -> str:
        """Wait until the server is ACTIVE and its guest has said *what*; return the line's rest.

        A rest equal to *but* does not count: that was said before. *why* is what it means where
        the guest does not say it.
        """
        self.wait_for("ACTIVE")
        heard = last = ""

        def look() -> str:
            nonlocal heard, last
            last = self.console()
            found = re.findall(rf"{self.word} {what} ?(.*)", last)
            heard = found[-1].strip() if found else ""
            return "" if found and heard != (but or None) else "not yet"

        if self.rest.until(look, seconds):
            end = "\n".join(last.strip().splitlines()[-12:]) or "(nothing)"
            raise AssertionError(
                f"{why}{': ' * bool(why)}the guest has not said '{what}' on its console, which "
                f"nova shows as:\n{end}"
            )
        return heard


def _fault(shown: dict[str, Any]) -> str:
    fault = shown.get("fault") or {}
    if not fault:
        return "nova gives no reason (was nova-compute started anew meanwhile?)"
    return str(fault.get("message") or json.dumps(fault))


def start_server(rest: Rest, undo: Undo, images: Images, flavor: str, **further: Any) -> Server:
    """Ask nova for a server; *further* are keys of its request. *undo* deletes it."""
    name = new_name()
    body = {"server": {"name": name, "imageRef": images.disk, "flavorRef": flavor, **further}}
    made = rest.post("compute", "/servers", body, "nova makes no server", VERSION)["server"]
    server = Server(rest, made["id"], name, images.word)
    undo(removal(rest, "compute", server.path, VERSION, 180), 240)
    return server


def compute_hosts(rest: Rest, nodes: dict[str, SmokeNode]) -> dict[str, SmokeNode]:
    """Return the nodes of the run that run guests, by the name that nova has for each.

    Fails the check where one of them is not up, or is in no cell.
    """
    mine = {
        one.check("hostname").strip().partition(".")[0]: one
        for one in nodes.values()
        if "nova-compute" in one.promises
    }
    found: dict[str, SmokeNode] = {}

    def look() -> str:
        services = rest.get("compute", "/os-services?binary=nova-compute", VERSION)["services"]
        up = {one["host"] for one in services if one["state"] == "up"}
        found.clear()
        found.update({host: mine[host.partition(".")[0]] for host in up
                      if host.partition(".")[0] in mine})  # fmt: skip
        if len(found) < len(mine):
            return (
                f"nova-compute is up on {', '.join(sorted(up)) or 'no host'}; it should be on "
                f"{', '.join(sorted(mine))}"
            )
        listed = rest.get("compute", "/os-hypervisors/detail", VERSION)["hypervisors"]
        mapped = {one["service"]["host"] for one in listed}
        unmapped = ", ".join(sorted(set(found) - mapped))
        # The scheduler looks for new hosts from time to time, where it was told to.
        return unmapped and f"no cell has the host {unmapped}: nova-manage cell_v2 discover_hosts"

    said = rest.until(look, 90)
    assert not said, said
    return found

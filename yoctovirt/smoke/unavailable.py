"""Services that yoctovirt has no suite of: for each the reason, in one place."""

from __future__ import annotations

#: Name of a service, as a role may promise it or ``--suite`` name it -> why there is no suite.
UNAVAILABLE: dict[str, str] = {
    "ovirt": "no pinned layer, on any release, has a recipe of oVirt",
    "trove": (
        "meta-cloud-services' trove is of 2015, and its programs do not run with the Python of "
        "the images"
    ),
    "ironic": "no pinned layer has a recipe of ironic",
    "gnocchi": (
        "no pinned layer has a recipe of gnocchi; where a cloud has it, the suite ceilometer asks "
        "it for what was measured"
    ),
    "zaqar": "the pinned layers have zaqar's client, and no server",
    "sahara": "the pinned layers have sahara's client, and no server",
    "rally": "meta-cloud-services' rally is of an older series than the OpenStack of the images",
    "ceph": (
        "meta-virtualization has a recipe, which no role takes: a role that promises ceph has the "
        "command looked for, and nothing more"
    ),
    "qpid": (
        "meta-cloud-services' qpidd (0.20) is built without Proton and speaks AMQP 0-10 only; "
        "what the suite qpid tests, a broker with AMQP 1.0, is promised as amqp10"
    ),
    "puppet-master": (
        "the master of puppet 5.4, which meta-cloud-services has, needs WEBrick, and Ruby 3 has "
        "none; the suite puppet applies manifests without a master"
    ),
}


def why_unavailable(name: str) -> str:
    """Return why there is no suite of *name*; '' for a name that means nothing here."""
    return UNAVAILABLE.get(name, "")

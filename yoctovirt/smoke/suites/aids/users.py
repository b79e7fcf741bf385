"""Users of a suite's own, each with a project of its own: what they may see, and what not."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import new_name
from yoctovirt.smoke.suites.aids.openstack import Cloud

#: Rights of users who are no administrators; which of them a cloud has is its own affair.
ORDINARY = ("member", "_member_", "creator", "heat_stack_owner")


def make_user(cloud: Cloud, undo: Undo, roles: Sequence[str] = ORDINARY) -> Cloud:
    """Return *cloud* as a new user sees it, who has those of *roles* that there are.

    Its project has nothing in it. Its password stands in a file on the node, which only root
    reads; *undo* removes user, project and file.
    """
    node, name = cloud.node, new_name()
    folder = f"/run/{name}"
    for kind in ("project", "user"):
        undo(
            f". {cloud.openrc}\nopenstack {kind} show {name} >/dev/null 2>&1 || exit 0\n"
            f"openstack {kind} delete {name}"
        )
    undo(f"rm -rf {folder}")
    node.check(f"mkdir -m 700 {folder}")
    node.put(secrets.token_hex(16).encode(), f"{folder}/password", 0o600)
    openrc = (
        f". {cloud.openrc}\nunset OS_PROJECT_ID OS_USER_ID OS_TENANT_ID OS_TENANT_NAME\n"
        f"export OS_USERNAME={name} OS_PROJECT_NAME={name}\n"
        f"export OS_PASSWORD=$(cat {folder}/password)\n"
    )
    node.put(openrc.encode(), f"{folder}/openrc", 0o600)
    there = cloud.check("role list -f value -c Name", why="keystone lists no roles").split()
    project = cloud.check(f"project create -f value -c id {name}", why="no project can be made")
    user = cloud.check(
        f'user create -f value -c id --project {name} --password "$(cat {folder}/password)" {name}',
        why="no user can be made",
    )
    given = [role for role in roles if role in there]
    assert given, f"of the roles {', '.join(roles)} keystone has none: {', '.join(there)}"
    for role in given:
        cloud.check(f"role add --project {name} --user {name} {role}", why="no role can be given")
    return Cloud(node, f"{folder}/openrc", cloud.client, user.split()[-1], project.split()[-1])

"""The caches of a team, before a build uses them: folders that can be written, servers that answer.

What only saves time may be away, and is told of; what would end the build after an hour ends
it now.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yoctovirt.base.files import is_read_only, make_folder
from yoctovirt.base.process import CommandLog
from yoctovirt.build.kas.user import BuildUser
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import InfrastructureError
from yoctovirt.pins.sources import offline

#: Seconds that a server has to accept a connection.
CONNECT_SECONDS = 3.0
#: In site.yml: where what a folder holds can be taken from without writing to it.
_MIRRORS = {"DL_DIR": "source_mirrors", "SSTATE_DIR": "sstate_mirrors"}
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def prepare_folders(
    shared: dict[str, Path], workspace: Workspace, user: BuildUser, log: CommandLog
) -> None:
    """Make DL_DIR and SSTATE_DIR where they are not there, for *user* to write to.

    The workspace's own are handed over to the user; those that others share are not.
    Raises InfrastructureError where the user cannot write to one of these, or nobody can.
    """
    for name, folder in shared.items():
        if is_read_only(folder):
            mirrors = _MIRRORS[name]
            raise InfrastructureError(
                f"{name} is {folder}, on a file system that is mounted read-only",
                f"mount it for writing, or name another folder in site.yml or by {name}; what is "
                f"only to be read is a mirror: {mirrors}: [{folder}] in site.yml",
            )
        is_new = not folder.exists()
        make_folder(folder)
        if is_new or folder.parent == workspace.path:
            user.take([folder], log)
        elif not (user.can("-w", str(folder)) and user.can("-x", str(folder))):
            who = user.name or "you"
            raise InfrastructureError(
                f"{name} is {folder}, where {who} cannot write",
                "give the right to a group that all builders are in (chgrp, chmod g+rwXs), or "
                f"name another folder in site.yml or by {name}",
            )


def settle_servers(config: dict[str, Any]) -> list[str]:
    """Return a warning for each cache of the flattened kas file *config* that does not answer.

    bitbake 2.8 ends with a traceback where it cannot reach its hash equivalence server (2.0
    warns for each task): *config* is changed to the one of its own (``auto``). Raises
    InfrastructureError for one that the environment insists on, and for a PR server, without
    which bitbake fails in do_package.
    """
    if offline():
        return []  # then none is asked
    warnings = []
    for name, url in _named(config):
        reason = _no_answer(url)
        if not reason:
            continue
        if name == "PRSERV_HOST":
            raise InfrastructureError(
                f"the PR server {url} does not answer: {reason}",
                "start it (bitbake-prserv), or take PRSERV_HOST out of site.yml or the environment",
            )
        if name == "SSTATE_MIRRORS":
            warnings.append(
                f"the sstate mirror {url} does not answer ({reason}): nothing comes from it"
            )
            continue
        if name == "BB_HASHSERVE":
            if os.environ.get(name):
                raise InfrastructureError(
                    f"the hash equivalence server {url} does not answer: {reason}",
                    "start it (bitbake-hashserv), or unset BB_HASHSERVE in the environment",
                )
            config["env"][name] = "auto"
        warnings.append(
            f"the hash equivalence server {url} does not answer ({reason}): this build uses the "
            "workspace's own, and so takes less from the sstate of others"
        )
    return warnings


def _named(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield variable and address of each server that a build of *config* will ask."""
    env = config.get("env") or {}
    for name in ("PRSERV_HOST", "BB_HASHSERVE", "BB_HASHSERVE_UPSTREAM"):
        value = os.environ.get(name) or env.get(name) if name in env else None
        if value and value != "auto" and not value.endswith(":0"):
            yield name, value
    if any(os.environ.get(name) for name in ("http_proxy", "https_proxy")):
        return  # then it is the proxy that is asked
    mirrors = os.environ.get("SSTATE_MIRRORS") or env.get("SSTATE_MIRRORS") or ""
    for url in dict.fromkeys(re.findall(r"\s(https?://\S+)/PATH", mirrors)):
        yield "SSTATE_MIRRORS", url


def _no_answer(url: str) -> str:
    """Return why nothing answers at *url* (or ``host:port``), '' where something does."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(url.removeprefix("unix://"))
            return ""
        return "there is no such socket"
    parts = urlsplit(url if "://" in url else f"tcp://{url}")
    port = parts.port or _PORTS.get(parts.scheme, 0)
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error) or "no answer"
    return ""

"""What a host or a team has for all roles: ``site.yml``.

Each of its values is a default of an environment variable, so that what is set in the
environment wins, as with kas. Those for bitbake go into the flattened kas file (``env``),
which is recorded: therefore no file of this kind may hold credentials.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yoctovirt.base.schema import at, check_file, dotted
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import UsageError

SITE_FILE = "site.yml"
#: Names the only file that counts; ``/dev/null``: none does.
SITE_VARIABLE = "YOCTOVIRT_SITE"
#: Folders that builds share, and what they are called in a workspace.
SHARED = {"DL_DIR": "downloads", "SSTATE_DIR": "sstate-cache"}
#: Addresses that are on this machine: they are asked offline, too.
_HERE = ("localhost", "127.", "[::1]", "unix://", "auto")
_SERVERS = ("BB_HASHSERVE", "BB_HASHSERVE_UPSTREAM", "PRSERV_HOST")
#: All but file://, of which a mirror has nothing.
_ANY_SOURCE = "(?!file).*://.*/.*"
_LISTS = ("layer_mirrors", "sstate_mirrors", "source_mirrors")


@dataclass(frozen=True)
class Site:
    """The content of a ``site.yml``, paths absolute; the default: there is none."""

    source: Path | None = None
    #: bitbake's variables, as they go into its environment
    variables: dict[str, str] = field(default_factory=dict)
    proxies: dict[str, str] = field(default_factory=dict)
    layer_mirrors: tuple[str, ...] = ()
    source_mirrors: tuple[str, ...] = ()  #: those after the first, which is in ``variables``

    def environment(self) -> dict[str, str]:
        """Return what stands for unset variables of the environment of what runs bitbake."""
        return {**self.variables, **self.proxies}

    def remote_servers(self) -> list[str]:
        """Return the variables that name a server on another machine."""
        return [
            name
            for name in _SERVERS
            if name in self.variables and not self.variables[name].startswith(_HERE)
        ]

    def left_out(self, offline: bool) -> list[str]:
        """Return a warning for what is not used *offline*."""
        names = self.remote_servers() if offline else []
        return [f"offline: {name} of {self.source} is not asked" for name in names]

    def kas_file(self, version: int, offline: bool = False) -> dict[str, Any] | None:
        """Return a kas file with what bitbake is to know; None where that is nothing.

        With *offline* servers on other machines are left out.
        """
        env = self.environment()
        for name in self.remote_servers() if offline else ():
            env.pop(name, None)
        if offline and "BB_HASHSERVE_UPSTREAM" not in env and env.get("BB_HASHSERVE") == "auto":
            del env["BB_HASHSERVE"]
        lines = []
        if "BB_HASHSERVE" in env:
            # Of the distributions only some have it: without it no server is asked.
            lines.append('BB_SIGNATURE_HANDLER ?= "OEEquivHash"')
        if "SOURCE_MIRROR_URL" in env:
            lines.append('INHERIT += "own-mirrors"')
        lines += [f'PREMIRRORS:append = " {_ANY_SOURCE} {url}"' for url in self.source_mirrors]
        if not env and not lines:
            return None
        content: dict[str, Any] = {"header": {"version": version}, "env": env}
        if lines:
            content["local_conf_header"] = {"site": "".join(f"{line}\n" for line in lines)}
        return content


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    text = Path(__file__).with_name("site.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def find_site_file(workspace: Path | None) -> Path | None:
    """Return the ``site.yml`` that counts: of YOCTOVIRT_SITE, the *workspace*, or the user.

    The user's is ``yoctovirt/site.yml`` in XDG_CONFIG_HOME (``~/.config``). Raises UsageError
    where the variable names a file that is not there.
    """
    named = os.environ.get(SITE_VARIABLE)
    if named:
        path = Path(named).expanduser().absolute()
        if not path.exists() or path.is_dir():
            raise UsageError(
                f"{SITE_VARIABLE} names {named}, which is no file",
                f"correct or unset {SITE_VARIABLE} (/dev/null stands for no {SITE_FILE})",
            )
        return path
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [workspace / SITE_FILE] if workspace else []
    places.append(base / "yoctovirt" / SITE_FILE)
    return next((path for path in places if path.is_file()), None)


def load_site(workspace: Path | None) -> Site:
    """Return the site of *workspace*.

    Raises UsageError, with file, line and column, for what does not fit ``site.schema.json``,
    a folder that is not there, and credentials in a URL.
    """
    path = find_site_file(workspace)
    if path is None:
        return Site()
    values = load_mapping(path)
    check_file(path, values, _schema(), "see docs/caches.md")
    _refuse_credentials(path, values, [])
    base = path.parent
    variables: dict[str, str] = {}
    for name in SHARED:
        if name in values:
            variables[name] = _folder(path, values[name], [name], must_exist=False)
    for name in ("BB_NUMBER_THREADS", *_SERVERS):
        if name in values:
            variables[name] = str(values[name])
    if "PARALLEL_MAKE" in values:
        jobs = values["PARALLEL_MAKE"]
        variables["PARALLEL_MAKE"] = f"-j {jobs}" if isinstance(jobs, int) else jobs
    upstream = "BB_HASHSERVE_UPSTREAM"
    if upstream in variables and variables.setdefault("BB_HASHSERVE", "auto") != "auto":
        raise UsageError(
            f"{at(path, [upstream])}bitbake asks an upstream server only where BB_HASHSERVE is "
            "auto",
            "remove one of them: BB_HASHSERVE is read and written, an upstream only read",
        )
    lists = {
        name: [_mirror(path, entry, [name, n]) for n, entry in enumerate(values.get(name, ()))]
        for name in _LISTS
    }
    if lists["sstate_mirrors"]:
        variables["SSTATE_MIRRORS"] = " ".join(map(_sstate_mirror, lists["sstate_mirrors"]))
    sources = [_url(entry) for entry in lists["source_mirrors"]]
    if sources:
        variables["SOURCE_MIRROR_URL"] = sources[0]
    return Site(
        source=base / path.name,
        variables=variables,
        proxies=dict(values.get("proxies", {})),
        layer_mirrors=tuple(lists["layer_mirrors"]),
        source_mirrors=tuple(sources[1:]),
    )


def _refuse_credentials(path: Path, value: Any, keys: Sequence[Any]) -> None:
    """Raise UsageError for a URL that says who asks: these files are recorded and shown."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _refuse_credentials(path, inner, [*keys, key])
        return
    match = re.match(r"(\w[\w+.-]*)://([^/@]*)@", str(value))
    # Of an ssh URL the user alone is no secret.
    if match is None or (match[1] in ("ssh", "git", "git+ssh", "sftp") and ":" not in match[2]):
        return
    if keys[0] == "proxies":
        way = f"export {keys[-1]}=… in the environment of the build; it wins over {path.name}"
    else:
        host = urlsplit(str(value)).hostname or "HOST"
        way = (
            f"write 'machine {host} login … password …' into a netrc file that only you can read, "
            "and export NETRC_FILE=that file"
        )
    raise UsageError(
        f"{at(path, keys)}{dotted(keys)}credentials in a URL: what stands in {path.name} goes into "
        "run records",
        way,
    )


def _folder(path: Path, value: str, keys: Sequence[Any], must_exist: bool = True) -> str:
    folder = Path(os.path.normpath(path.parent / Path(value).expanduser()))
    if "://" in value or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{at(path, keys)}{dotted(keys)}{value} is no folder", "name a folder")
    if must_exist and not folder.is_dir():
        raise UsageError(
            f"{at(path, keys)}{dotted(keys)}there is no folder {folder}",
            "name a folder, or a URL (https://…)",
        )
    return str(folder)


def _mirror(path: Path, value: str, keys: Sequence[Any]) -> str:
    """Return a mirror as a URL without a slash at its end, or as an absolute path."""
    if "://" in value:
        # As users know it from SSTATE_MIRRORS.
        return re.sub(r"/PATH(;downloadfilename=PATH)?$", "", value).rstrip("/")
    return _folder(path, value, keys)


def _url(entry: str) -> str:
    return entry if "://" in entry else f"file://{entry}"


def _sstate_mirror(entry: str) -> str:
    """Return the pair of SSTATE_MIRRORS for all objects of one mirror."""
    name = "" if _url(entry).startswith("file://") else ";downloadfilename=PATH"
    return f"file://.* {_url(entry)}/PATH{name}"


def cache_folders(site: Site, workspace: Path) -> dict[str, Path]:
    """Return DL_DIR and SSTATE_DIR as builds of *workspace* have them, but for files of users."""
    return {
        name: Path(os.environ.get(name) or site.variables.get(name) or workspace / default)
        for name, default in SHARED.items()
    }


def shared_folders(config: dict[str, Any], workspace: Path) -> dict[str, Path]:
    """Return DL_DIR and SSTATE_DIR of a build of the flattened kas file *config*.

    From the environment, else from *config* (its ``env``), else in the *workspace*. kas
    would choose in the same way: *config* is changed to name them.
    """
    env = config.setdefault("env", {})
    # As a weak default of ours, it is for kas without yoctovirt.
    config.get("local_conf_header", {}).pop("shared-folders", None)
    found = {}
    for name, default in SHARED.items():
        env[name] = env.get(name) or str(workspace / default)
        found[name] = Path(os.environ.get(name) or env[name]).absolute()
    return found

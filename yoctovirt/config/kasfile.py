"""From role, release and the user's own files to one flattened kas file.

kas itself merges (``kas dump``: its command line is its only stable interface);
we choose the files, and name our own layers by absolute path, so that the
result can be built from anywhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yoctovirt.base.process import CommandLog
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.base.yamlfile import place_of
from yoctovirt.config.cells import OWN_REPO, choose_machine, find_kas_file, kas_files
from yoctovirt.config.features import check_feature
from yoctovirt.config.kasschema import check_config, check_kas_file
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role
from yoctovirt.config.site import Site
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins.release import release_files
from yoctovirt.pins.sources import offline, pins_of

#: Steps of ``kas dump`` that would need the repositories; merging does not.
_SKIPPED = ("repo_setup_loop", "finish_setup_repos", "repos_checkout", "repos_apply_patches",
            "setup_environ", "write_bbconfig")  # fmt: skip
#: Version of kas's file format that our files use.
FORMAT = 19


def releases() -> dict[str, Path]:
    """Return the files of the releases by name."""
    return release_files(data_root() / "layers-manifest")


def choose_release(role: Role, named: str | None) -> str:
    """Return the release to build *role* with: *named*, else the role's own.

    Raises UsageError for an unknown one, with near matches.
    """
    release = named or role.release
    known = releases()
    if release is None:
        raise UsageError(f"role {role.name} has no default release", "name one with --release")
    if release not in known:
        raise UsageError(f"there is no release {release!r}", did_you_mean(release, known))
    return release


def flatten(
    role: Role,
    release: str,
    log: CommandLog,
    *,
    extra: Sequence[Path] = (),
    machine: str | None = None,
    features: Sequence[str] = (),
    site: Site | None = None,
) -> dict[str, Any]:
    """Return the complete kas configuration of *role* on *release* as one mapping.

    *extra* are kas files of the user, merged last, over what *site* brings. Raises UsageError
    where kas does not accept one of the files, and for an unknown machine or feature.
    """
    chosen = choose_machine(role, machine, own=bool(extra))
    for feature in features:
        check_feature(role, feature)
    root = data_root()
    own = role.source.with_name(f"{role.name}.yml")
    with tempfile.TemporaryDirectory(prefix="yoctovirt-kas-") as name:
        work = Path(name)
        for folder in ("kas", "layers-manifest"):
            shutil.copytree(root / folder, work / folder)
        if own.parent != root / "kas" / "inc":
            shutil.copytree(own.parent, work / "kas" / "inc", dirs_exist_ok=True)
        # Without --machine the role's kas file has the word.
        includes = kas_files(role, release, machine, features)
        ours = site.kas_file(FORMAT, offline()) if site else None
        if ours:
            includes.append("site.yml")
            (work / "site.yml").write_text(json.dumps(ours))
        names: dict[str, str] = {}
        for number, path in enumerate(extra):
            # Here errors name the user's file, not our copy.
            check_kas_file(path, load_mapping(path))
            includes.append(f"user-{number}-{path.name}")
            names[includes[-1]] = str(path)
            shutil.copyfile(path, work / includes[-1])
        top: dict[str, Any] = {"header": {"version": FORMAT, "includes": includes}}
        if machine:
            top["machine"] = chosen
        (work / "top.yml").write_text(json.dumps(top))
        config = _dump(work, log, names)
    for repo, entry in config.get("repos", {}).items():
        if repo == OWN_REPO and entry is not None and not entry.get("url"):
            entry["path"] = str(root)
    # A repository that the role does without, the release's pins of it do not matter.
    config["repos"] = {
        repo: entry
        for repo, entry in config.get("repos", {}).items()
        if not (entry and "url" in entry and entry["url"] is None)
    }
    check_config(config, f"{role.name} on {release}")
    # Nothing is done with what is not pinned.
    files = [find_kas_file(role, name) for name in kas_files(role, release, machine, features)]
    pins_of(config, lambda repo, key: _where([*files, *extra], repo, key))
    return config


def _where(files: Sequence[Path], repo: str, key: str) -> str:
    """Return ``file:line: `` of what *files*, the last first, say of *key* of a repository."""
    found = ""
    for path in reversed([path for path in files if path.is_file()]):
        entry = (load_mapping(path).get("repos") or {}).get(repo)
        if entry is None:
            continue
        where = f"{path}:{place_of(path, ['repos', repo, key])[0]}: "
        if key in entry:
            return where
        found = found or where
    return found


def kas_environment(home: Path | None = None) -> dict[str, str]:
    """Return a clean environment for kas: what it and bitbake need, nothing of ours by chance."""
    kept = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
            "ftp_proxy", "no_proxy", "SSH_AUTH_SOCK", "TERM", "BB_NO_NETWORK", "NETRC_FILE",
            "GIT_SSL_CAINFO", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "BB_NUMBER_THREADS",
            "PARALLEL_MAKE", "SSTATE_MIRRORS", "SOURCE_MIRROR_URL", "BB_HASHSERVE",
            "BB_HASHSERVE_UPSTREAM", "PRSERV_HOST", "YV_DEBIAN_MIRROR",
            "YV_DEBIAN_SECURITY_MIRROR", "YOCTOVIRT_ROOT_KEY")  # fmt: skip
    env = {name: os.environ[name] for name in kept if name in os.environ}
    if offline():
        env["BB_NO_NETWORK"] = "1"
    env.update(
        PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        LANG="en_US.UTF-8",
        LC_ALL="en_US.UTF-8",
        HOME=str(home or Path.home()),
        PYTHONDONTWRITEBYTECODE="1",
    )
    return env


def _dump(work: Path, log: CommandLog, names: dict[str, str]) -> dict[str, Any]:
    """Let kas merge what lies in *work*; *names* tells which file of the user a copy is."""
    argv = [sys.executable, "-m", "kas", "--log-level", "error", "dump", "--format", "json"]
    for step in _SKIPPED:
        argv += ["--skip", step]
    argv.append(str(work / "top.yml"))
    env = {**kas_environment(), "KAS_WORK_DIR": str(work)}
    log.note(argv)
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        text = (done.stderr + done.stdout).replace(f"{work}/", "").strip()
        if "No module named kas" in text:
            raise InfrastructureError("kas is not installed beside yoctovirt", "pip install kas")
        text = re.sub(r"^[\d-]+ [\d:]+ - \w+ +- ", "", text, flags=re.MULTILINE)
        for copy, original in names.items():
            text = text.replace(copy, original)
        hint = "see docs/roles.md"
        if "not found" in text:
            hint = (
                "a file can include ours (kas/inc/…, layers-manifest/…) and those of the "
                "workspace's kas/inc; name others of yours with --with, too"
            )
        raise UsageError(f"kas does not accept the configuration: {text}", hint)
    config: dict[str, Any] = json.loads(done.stdout)
    return config


def to_yaml(config: dict[str, Any]) -> str:
    """Return *config* as YAML, in kas's order of keys, long texts as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(config, Dumper=Dumper, sort_keys=False, width=1000, allow_unicode=True)
    return dumped

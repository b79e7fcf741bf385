"""A flattened kas configuration in other forms: BitBake's two files, an environment, a comparison.

What kas writes from the same file is what counts; the tests hold these forms to it.
"""

from __future__ import annotations

import difflib
import os
import shlex
from pathlib import Path
from typing import Any

#: kas's priority of a layer that names none.
_PRIORITY = 5


def layer_paths(config: dict[str, Any], layers: Path) -> list[Path]:
    """Return the layers in the order of ``BBLAYERS``: by priority, then by name.

    *layers* is the folder with the checkouts, of which a repository may name a part
    (``path``).
    """
    found = []
    for repo, entry in config["repos"].items():
        entry = entry or {}
        root = layers / (entry.get("path") or repo)  # an absolute path wins
        for layer, about in (entry.get("layers") or {".": None}).items():
            if about in ("disabled", "excluded", "n", "no", "0", "false", 0, False):
                continue
            priority = about.get("prio", _PRIORITY) if isinstance(about, dict) else _PRIORITY
            found.append((-priority, repo, layer, root / layer))
    return [path for *_, path in sorted(found, key=lambda item: item[:3])]


def bblayers_conf(config: dict[str, Any], layers: Path, build_dir: Path) -> str:
    """Return ``conf/bblayers.conf`` of *build_dir*."""
    paths = [
        "${TOPDIR}/" + os.path.relpath(path, build_dir) for path in layer_paths(config, layers)
    ]
    listed = " \\\n    ".join(paths)
    return (
        _headers(config.get("bblayers_conf_header"))
        + f'BBLAYERS ?= " \\\n    {listed}"\nBBPATH ?= "${{TOPDIR}}"\nBBFILES ??= ""\n'
    )


def local_conf(config: dict[str, Any]) -> str:
    """Return ``conf/local.conf``."""
    multiconfig = " ".join(_multiconfigs(config))
    return (
        _headers(config.get("local_conf_header"))
        + f'MACHINE ??= "{config.get("machine", "qemux86-64")}"\n'
        f'DISTRO ??= "{config.get("distro", "poky")}"\n'
        f'BBMULTICONFIG ?= "{multiconfig}"\n'
    )


def environment(
    config: dict[str, Any], layers: Path, build_dir: Path, shared: dict[str, Path]
) -> str:
    """Return lines for a shell that make plain ``kas build`` use the same folders and servers.

    *shared* has DL_DIR and SSTATE_DIR. What is set in the environment wins, as it does in kas.
    """
    values: dict[str, str] = {
        "KAS_WORK_DIR": str(layers),
        "KAS_BUILD_DIR": str(build_dir),
        **{name: str(path) for name, path in shared.items()},
    }
    for name, value in (config.get("env") or {}).items():
        if value is not None:  # None: taken from the caller's environment, if it is there
            values.setdefault(name, os.environ.get(name) or str(value))
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def difference(first: dict[str, Any], second: dict[str, Any], names: tuple[str, str]) -> list[str]:
    """Return how *second* differs from *first*: a line for each thing that was set otherwise.

    Longer texts are compared line by line. An empty list: there is no difference.
    """
    lines = []
    one, two = _flat(first), _flat(second)
    for key in [*one, *(key for key in two if key not in one)]:
        if key in one and key in two and one[key] == two[key]:
            continue
        both = key in one and key in two
        lines.append(f"{key}:" if both else f"{key}: only {names[key in two]}")
        before, after = (str(side.get(key, "")).splitlines() for side in (one, two))
        marked = [
            line for line in difflib.ndiff(before, after)
            if line[0] in "-+" and line[2:].strip() not in ("", "None")
        ]  # fmt: skip
        lines += [f"  {line}" for line in marked]
    return lines


def _flat(value: Any, above: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {above: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        # A layer named "." is the repository itself.
        flat.update(_flat(inner, f"{above} > {key}" if above else str(key)))
    return flat


def _headers(parts: dict[str, str] | None) -> str:
    return "".join(f"# {name}\n{text}\n" for name, text in sorted((parts or {}).items()))


def _multiconfigs(config: dict[str, Any]) -> list[str]:
    """Return the multiconfigs that the targets name (``mc:NAME:target``)."""
    target = config.get("target") or []
    targets = [target] if isinstance(target, str) else target
    names = [one.split(":")[1] for one in targets if one.startswith(("mc:", "multiconfig:"))]
    return list(dict.fromkeys(names))

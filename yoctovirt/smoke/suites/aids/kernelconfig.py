"""What the kernel of a node was configured with, where it or the image tells."""

from __future__ import annotations

import re

from yoctovirt.smoke.checked import SmokeNode

#: Where kernels show it: the kernel itself (IKCONFIG_PROC, at times as a module "configs"), and
#: what distributions install beside it.
_READ = """
[ -e /proc/config.gz ] || modprobe configs 2>/dev/null
if [ -e /proc/config.gz ]; then exec gzip -dc /proc/config.gz; fi
release=$(uname -r)
for file in "/boot/config-$release" "/lib/modules/$release/config" \
    "/lib/modules/$release/build/.config" "/usr/src/kernel/.config"; do
    [ -s "$file" ] && exec cat "$file"
done
exit 3
"""

#: What to say where there is none.
HIDDEN = (
    "the kernel does not show its configuration: set CONFIG_IKCONFIG=y and CONFIG_IKCONFIG_PROC=y, "
    "or install it as /boot/config-<release>"
)


def read_config(node: SmokeNode) -> dict[str, str] | None:
    """Return option (without CONFIG_) -> value of the node's kernel; None where it is hidden."""
    read = node.run(_READ)
    if not read.ok:
        return None
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", read.output, re.MULTILINE))


def describe(config: dict[str, str] | None, options: tuple[str, ...]) -> str:
    """Return how *options* are set, for the message of a check that failed."""
    if config is None:
        return HIDDEN
    return ", ".join(
        f"CONFIG_{option}={config[option]}" if option in config else f"CONFIG_{option} is not set"
        for option in options
    )

"""A Linux guest made of what the node has: its kernel, its BusyBox, its modules."""

from __future__ import annotations

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.suites.aids.busybox import make_tree

#: Names under which distributions and Yocto install the kernel that runs.
_KERNELS = """
release=$(uname -r)
for kernel in "/boot/vmlinuz-$release" "/boot/bzImage-$release" "/boot/Image-$release" \
    "/usr/lib/modules/$release/vmlinuz" /boot/bzImage /boot/Image /boot/vmlinuz; do
    [ -s "$kernel" ] && { echo "$(readlink -f "$kernel") $release"; exit 0; }
done
"""

#: Writes the folder ``$tree`` as a cpio archive of the form "newc" (the kernel's
#: Documentation/driver-api/early-userspace/buffer-format.rst): the cpio of many BusyBox can
#: only unpack.
PACK = r"""
cd "$tree"
number=0
zeros() { case $1 in 1) printf '\0' ;; 2) printf '\0\0' ;; 3) printf '\0\0\0' ;; esac; }
entry() {
    # name mode size major minor
    number=$((number + 1))
    printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' \
        $number "$2" 0 0 1 0 "$3" 0 0 "$4" "$5" $((${#1} + 1)) 0
    printf '%s\0' "$1"
    zeros $(((4 - (111 + ${#1}) % 4) % 4))
}
find . | {
    while read -r file; do
        name=${file#./}
        if [ -L "$file" ]; then
            target=$(readlink "$file")
            entry "$name" $((0120777)) ${#target} 0 0
            printf '%s' "$target"
            zeros $(((4 - ${#target} % 4) % 4))
        elif [ -d "$file" ]; then
            entry "$name" $((040755)) 0 0 0
        else
            size=$(($(wc -c <"$file")))
            entry "$name" $((0100755)) $size 0 0
            cat "$file"
            zeros $(((4 - size % 4) % 4))
        fi
    done
    entry dev/console $((020600)) 0 5 1
    entry TRAILER!!! 0 0 0 0
} >"$archive"
"""

#: Copies the modules ``$modules``, and what each needs, uncompressed and in their order. One
#: that is not there may be built into the kernel.
_MODULES = """
mkdir -p "$tree/modules"
: >"$tree/modules/order"
for module in $modules; do
    modprobe $other --show-depends "$module" 2>/dev/null || true
done | while read -r verb path rest; do
    [ "$verb" = insmod ] || continue
    name=$(basename "$path")
    name=${name%.xz}; name=${name%.gz}; name=${name%.zst}
    [ -e "$tree/modules/$name" ] && continue
    case $path in
    *.xz) xz -dc "$path" ;;
    *.gz) gzip -dc "$path" ;;
    *.zst) zstd -dc "$path" ;;
    *) cat "$path" ;;
    esac >"$tree/modules/$name"
    echo "$name" >>"$tree/modules/order"
done
"""

#: Any kernel, for a guest that others start: in a container the kernel that runs is not one of
#: the node's own.
_OTHER_KERNELS = """
for kernel in /boot/vmlinuz-* /boot/bzImage-* /boot/Image-*; do
    [ -s "$kernel" ] && { echo "$kernel ${kernel#/boot/*-}"; exit 0; }
done
"""

_APPLETS = ("sh", "mount", "cat", "echo", "grep", "dmesg", "insmod", "ip", "ping", "sleep",
            "poweroff", "reboot", "uname")  # fmt: skip

_INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
"""


def find_kernel(node: SmokeNode) -> str:
    """Return the path on the node of the kernel that it runs; fail where there is none."""
    return _find(node, f"{_KERNELS}echo no kernel of $release in /boot; exit 1")[0]


def find_any_kernel(node: SmokeNode) -> tuple[str, str]:
    """Return path and release of a kernel on the node, the one that it runs where it can."""
    return _find(node, f"{_KERNELS}{_OTHER_KERNELS}echo no kernel in /boot; exit 1")


def _find(node: SmokeNode, script: str) -> tuple[str, str]:
    why = "a Linux guest needs a kernel, and the image has none (package kernel-image)"
    path, release = node.check(script, why=why).split()
    return path, release


def make_initramfs(
    node: SmokeNode,
    archive: str,
    script: str,
    modules: tuple[str, ...] = (),
    *,
    release: str = "",
    applets: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
) -> None:
    """Write the file *archive* on the node: an initramfs whose init runs the shell *script*.

    When *script* begins, /proc, /sys and /dev are there and *modules* (names) are loaded: those
    of the kernel *release*, by default the one that runs. *files* are further programs by name.
    """
    tree = make_tree(node, (*_APPLETS, *applets))
    try:
        for name, text in (files or {}).items():
            node.put(text.encode(), f"{tree}/{name}", 0o755)
        node.put((_INIT + script).encode(), f"{tree}/init", 0o755)
        node.check(
            f"set -e\ntree={tree}\narchive={archive}\nmodules='{' '.join(modules)}'\n"
            f"other='{release}'\n"
            '[ -z "$other" ] || [ "$other" = "$(uname -r)" ] && other= || other="-S $other"\n'
            f"{_MODULES}{PACK}",
            why="an initramfs for a guest could not be made",
        )
    finally:
        node.run(f"rm -rf {tree}")

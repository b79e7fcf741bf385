"""A small file tree of the node's own BusyBox, for containers and guests.

Nodes have no network, and BusyBox is on every one of them; where it is linked dynamically its
libraries go with it.
"""

from __future__ import annotations

from yoctovirt.smoke.checked import SmokeNode

#: Commands of BusyBox that the tree has under their own names.
APPLETS = ("sh", "echo", "ls", "ping", "ip", "cat", "sleep", "hostname")

#: Sets ``busybox``, or ends with a word. Not `command -v`: the shell of BusyBox answers with
#: the name alone.
FIND = """
for busybox in /bin/busybox /usr/bin/busybox /usr/local/bin/busybox /bin/busybox.nosuid; do
    [ -x "$busybox" ] && break
done
[ -x "$busybox" ] || { echo "no busybox in /bin, /usr/bin, /usr/local/bin"; exit 1; }
"""

#: Lists the libraries of a program without ldd: the loader of glibc and musl does it.
_MAKE = """
mkdir -p "$tree/bin" "$tree/tmp" "$tree/etc" "$tree/proc" "$tree/dev" "$tree/sys"
cp "$busybox" "$tree/bin/busybox"
for file in $(LD_TRACE_LOADED_OBJECTS=1 "$busybox" true 2>/dev/null | grep -o '/[^ ]*'); do
    mkdir -p "$tree/$(dirname "$file")"
    cp -L "$file" "$tree/$file"
done
for name in $applets; do ln -sf busybox "$tree/bin/$name"; done
chmod 755 "$tree"
"""


def tree_script(applets: tuple[str, ...] = APPLETS) -> str:
    """Return a script for sh -e that makes the tree in the folder $tree."""
    return f'{FIND}applets="{" ".join(applets)}"\n{_MAKE}'


def make_tree(node: SmokeNode, applets: tuple[str, ...] = APPLETS, folder: str = "") -> str:
    """Make the tree on the node and return its folder (a new one unless *folder* is given)."""
    place = f"mkdir -p {folder}; tree={folder}" if folder else "tree=$(mktemp -d)"
    script = f'set -e\n{place}\n{tree_script(applets)}echo "$tree"'
    return node.check(script, why="a small file tree of BusyBox cannot be made").split()[-1]


def make_archive(node: SmokeNode, applets: tuple[str, ...] = APPLETS) -> str:
    """Make a tar archive of such a tree on the node, and return its path."""
    tree = make_tree(node, applets)
    try:
        node.check(f"tar -C {tree} -cf {tree}.tar .", why="the tree cannot be put into an archive")
    finally:
        node.run(f"rm -rf {tree}")
    return f"{tree}.tar"

"""A root file system of the node's own BusyBox: nodes have no network to fetch one from."""

from __future__ import annotations

#: A script that fills the folder $tree. The loader of glibc and musl lists the libraries of a
#: program without ldd; `command -v` would not do: the shell of BusyBox answers with the name alone.
TREE_SCRIPT = """
for busybox in /bin/busybox /usr/bin/busybox /usr/local/bin/busybox; do
    [ -x "$busybox" ] && break
done
[ -x "$busybox" ] || { echo "no busybox in /bin, /usr/bin, /usr/local/bin"; exit 1; }
for folder in bin sbin etc dev proc sys run root tmp var/run usr/bin; do
    mkdir -p "$tree/$folder" || exit 1
done
cp "$busybox" "$tree/bin/busybox" || exit 1
for file in $(LD_TRACE_LOADED_OBJECTS=1 "$busybox" true 2>/dev/null | grep -o '/[^ ]*'); do
    mkdir -p "$tree/$(dirname "$file")"
    cp -L "$file" "$tree/$file" || exit 1
done
for name in sh echo ls ping ip cat sleep hostname rm mv dd mount; do
    ln -sf busybox "$tree/bin/$name"
done
for name in init poweroff; do ln -sf ../bin/busybox "$tree/sbin/$name"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"
"""

"""The keys between us and a node: ours into it, its host key to us."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from yoctovirt.base.files import write_atomically
from yoctovirt.boot.console import Console
from yoctovirt.boot.node import Node
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.build.deploydir import DeployDir

#: Where OpenSSH and dropbear keep their host keys, and how to print the public part.
_HOST_KEYS = (
    "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub "
    "/etc/ssh/ssh_host_rsa_key.pub /var/run/ssh/ssh_host_*_key.pub 2>/dev/null; "
    "for f in /etc/dropbear/dropbear_*_host_key /var/lib/dropbear/dropbear_*_host_key; do "
    '[ -f "$f" ] && dropbearkey -y -f "$f" 2>/dev/null; done; true'
)


def prepare_ssh(node: Node, console: Console, deploy: DeployDir) -> None:
    """Log in on the console and make sure that SSH will know both sides.

    The host key comes from the build, or from the node itself over the console: it is
    never taken from whoever answers on the port. Our key comes from the build, or is
    made for this node and put there over the console. Raises NodeUnreachableError.
    """
    state = node.state
    key = node.folder / "id"
    with node.serial.session(console):
        node.serial.log_in(console, asked=True)
        if deploy.client_key is not None:
            write_atomically(key, deploy.client_key.read_text(), 0o600)
        else:
            public = _make_key(key)
            _accept_key(node, public)
        state.ssh_host_key = deploy.host_key or _read_host_key(node)
    state.ssh_key = str(key)
    address = node.address()
    write_atomically(address.known_hosts, address.known_hosts_line(), 0o600)
    node.save()


def _make_key(path: Path) -> str:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    write_atomically(path, private.decode(), 0o600)
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return f"{public.decode()} yoctovirt-{os.getpid()}"


def _accept_key(node: Node, public: str) -> None:
    result = node.serial.run(
        "umask 077; mkdir -p ~/.ssh && "
        f"echo {shlex.quote(public)} >> ~/.ssh/authorized_keys && chmod go-w ~"
    )
    if not result.ok:
        raise NodeUnreachableError(
            f"our key could not be put into the node: {result.output.strip()}",
            "is its root file system writable?",
        )


def _read_host_key(node: Node) -> str:
    # sshd makes its keys at the first boot; under TCG that takes a while.
    result = node.serial.run(
        f"n=0; while [ $n -lt 60 ]; do k=$({_HOST_KEYS}); "
        'case $k in *ssh-*|*ecdsa-*) echo "$k"; exit 0;; esac; sleep 1; n=$((n+1)); done; exit 1',
        timeout=90,
    )
    keys = re.findall(r"^((?:ssh-ed25519|ecdsa-sha2-\S+|ssh-rsa) [A-Za-z0-9+/=]+)", result.output,
                      re.MULTILINE)  # fmt: skip
    if not keys:
        raise NodeUnreachableError(
            "the node has no SSH host key", "does its image have an SSH server?"
        )
    return str(keys[0])

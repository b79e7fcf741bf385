"""The keys between us and a node: ours into it, its host key to us."""

from __future__ import annotations

import os
import re
import shlex
import threading

from yoctovirt.base.files import write_atomically
from yoctovirt.boot.console import Console
from yoctovirt.boot.node import Node
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.ssh import SshShell
from yoctovirt.build.deploydir import DeployDir

#: Where OpenSSH and dropbear keep their host keys, and how to print the public part.
_HOST_KEYS = (
    "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub "
    "/etc/ssh/ssh_host_rsa_key.pub /var/run/ssh/ssh_host_*_key.pub 2>/dev/null; "
    "for f in /etc/dropbear/dropbear_*_host_key /var/lib/dropbear/dropbear_*_host_key; do "
    '[ -f "$f" ] && dropbearkey -y -f "$f" 2>/dev/null; done; true'
)


#: Seconds that one early attempt may wait for sshd's first line. An attempt made before the
#: guest's network is up hangs in QEMU's user network, and must not hold up the next one.
_EARLY_ANSWER = 2.0


class EarlySsh:
    """Attempts to log in by SSH while the node still starts.

    Possible where both keys come from the build: sshd often answers seconds before the
    console asks for a login.
    """

    def __init__(self, node: Node, deploy: DeployDir, login_seconds: float) -> None:
        self._ssh: SshShell | None = None
        self._stop = threading.Event()
        self._connected = threading.Event()
        self._login_seconds = login_seconds
        self._thread = threading.Thread(target=self._attempts, daemon=True)
        if deploy.client_key is not None and deploy.host_key:
            write_keys(node, deploy.client_key.read_text(), deploy.host_key)
            self._ssh = node.ssh
            self._thread.start()

    def _attempts(self) -> None:
        assert self._ssh is not None
        answer = _EARLY_ANSWER
        while not self._stop.wait(0.2):
            try:
                if self._ssh.attempt(answer, self._login_seconds) is None:
                    self._connected.set()
                    return
            except NodeUnreachableError:
                return  # whoever connects after the login meets the same error, and reports it
            # A node on a busy host is slow to answer. Attempts given up too early leave work
            # behind, until its sshd drops connections (MaxStartups).
            answer = min(answer * 1.5, self._login_seconds)

    @property
    def possible(self) -> bool:
        """Whether both keys come from the build, so that the console is not needed."""
        return self._ssh is not None

    @property
    def connected(self) -> bool:
        """Whether the node's SSH shell can be used."""
        return self._connected.is_set()

    def finish(self) -> bool:
        """Make no further attempt, wait for the one under way; return :attr:`connected`."""
        self._stop.set()
        if self._ssh is not None:
            self._thread.join()
        return self.connected

    def abandon(self) -> None:
        """Make no further attempt, and wait for none: the node is given up."""
        self._stop.set()


def write_keys(node: Node, private: str, host_key: str) -> None:
    """Keep our private key and the host key of *node* in its folder, for SSH."""
    key = node.folder / "id"
    write_atomically(key, private, 0o600)
    node.state.ssh_key, node.state.ssh_host_key = str(key), host_key
    address = node.address()
    write_atomically(address.known_hosts, address.known_hosts_line(), 0o600)
    node.save()


def prepare_ssh(node: Node, console: Console, deploy: DeployDir) -> None:
    """Log in on the console and make sure that SSH will know both sides.

    The host key comes from the build, or from the node itself over the console: it is
    never taken from whoever answers on the port. Our key comes from the build, or is
    made for this node and put there over the console. Raises NodeUnreachableError.
    """
    with node.serial.session(console):
        node.serial.log_in(console, asked=True)
        if deploy.client_key is not None:
            private = deploy.client_key.read_text()
        else:
            private, public = _make_key()
            _accept_key(node, public)
        host_key = deploy.host_key or read_host_key(node)
    write_keys(node, private, host_key)


def _make_key() -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} yoctovirt-{os.getpid()}"


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


def read_host_key(node: Node) -> str:
    """Return the host key that the node itself shows on its console.

    Raises NodeUnreachableError where it has none.
    """
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

"""Logging in over SSH: who is on the other side, and why one attempt did not succeed."""

from __future__ import annotations

import base64
import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yoctovirt.boot.results import NodeRefusedError, NodeUnreachableError

if TYPE_CHECKING:
    import paramiko


@dataclass(frozen=True)
class SshAddress:
    """Where the sshd of a node is, and by which keys the two know one another."""

    host: str
    port: int
    user: str
    key: Path | None  #: our private key; None: the agent's, and those in ~/.ssh
    host_key: str  #: public key of the sshd, ``ssh-ed25519 AAAA…``
    pins: Path | None = None  #: :attr:`known_hosts`, where it is not beside our key

    def argv(self, *command: str, tty: bool = False) -> list[str]:
        """Return OpenSSH's command line for the same address."""
        options = [
            f"UserKnownHostsFile={self.known_hosts}",
            "StrictHostKeyChecking=yes",
            "LogLevel=ERROR",
        ]
        argv = ["ssh", "-p", str(self.port)]
        if self.key is not None:
            options.append("IdentitiesOnly=yes")
            argv += ["-i", str(self.key)]
        for option in options:
            argv += ["-o", option]
        return [*argv, *(["-t"] if tty else []), f"{self.user}@{self.host}", *command]

    @property
    def known_hosts(self) -> Path:
        """File that OpenSSH finds the host key in, beside our key."""
        if self.pins is not None:
            return self.pins
        assert self.key is not None
        return self.key.with_name("known_hosts")

    def known_hosts_line(self) -> str:
        """Return the line for :attr:`known_hosts`."""
        algorithm, blob = self.host_key.split()[:2]
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        return f"{name} {algorithm} {blob}\n"


@dataclass(frozen=True)
class NotYet:
    """Why an attempt did not succeed that may be made again."""

    reason: str
    answered: bool = False  #: whether sshd was there, and only the login did not come to its end


def log_in(address: SshAddress, answer: float, login: float) -> paramiko.SSHClient | NotYet:
    """Connect and log in, once.

    *answer* is how long sshd may take to say who it is, *login* how long the rest may take,
    both in seconds. Raises NodeRefusedError where another attempt would not help: another
    host key, a refused login.
    """
    import paramiko

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    algorithm, blob = address.host_key.split()[:2]
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.get_host_keys().add(
        f"[{address.host}]:{address.port}" if address.port != 22 else address.host,
        algorithm,
        paramiko.PKey.from_type_string(algorithm, base64.b64decode(blob)),
    )
    try:
        line = socket.create_connection((address.host, address.port), answer)
        # A command is several small messages: none waits for the others' acknowledgement.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect(
            address.host,
            port=address.port,
            sock=line,
            username=address.user,
            key_filename=str(address.key) if address.key is not None else None,
            allow_agent=address.key is None,
            look_for_keys=address.key is None,
            timeout=answer,
            banner_timeout=answer,
            auth_timeout=login,
        )
    except paramiko.BadHostKeyException as error:
        client.close()
        raise NodeRefusedError(
            f"the host key of {address.host}:{address.port} is not the one of this node: {error}",
            "another machine answers there, or the node made a new key",
        ) from error
    except paramiko.AuthenticationException as error:
        client.close()
        unfinished = _unfinished(str(error), login)
        if unfinished is not None:
            return unfinished
        raise NodeRefusedError(
            f"{address.user}@{address.host}:{address.port} refuses our key: {error}",
            f"the key is {address.key}; is it in authorized_keys of the node?",
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        client.close()
        return NotYet(f"{type(error).__name__}: {error}" if str(error) else repr(error))
    transport = client.get_transport()
    assert transport is not None
    transport.set_keepalive(15)
    return client


def _unfinished(said: str, login: float) -> NotYet | None:
    """Return what became of a login that was not refused, although paramiko calls it so.

    Its AuthenticationException is also for an answer that never came (AuthHandler's
    wait_for_response); its words are all that tells them apart.
    """
    if "timeout" in said:
        return NotYet(f"no answer to our key within {login:.0f} s", answered=True)
    if "EOF" in said:
        return NotYet("sshd closed the connection during the login", answered=True)
    return None


def late(address: SshAddress, seconds: float, last: NotYet) -> NodeUnreachableError:
    """Return the error for a node that was tried for *seconds* in vain."""
    where = f"{address.host}:{address.port}"
    if last.answered:
        return NodeUnreachableError(
            f"sshd of {where} answers, but within {seconds:.0f} s no login came to its end "
            f"(last: {last.reason})",
            "our key was not refused: the node is too slow, or its sshd waits for something "
            "(PAM, a name server, AuthorizedKeysCommand); its journal tells more; --ssh-timeout "
            "gives it longer",
        )
    return NodeUnreachableError(
        f"sshd of {where} does not answer within {seconds:.0f} s (last: {last.reason})",
        "look into console-<node>.log of the run whether sshd was started; "
        "--ssh-timeout gives it longer",
    )

"""The peer of commands.py: labgrid's drivers on the same node. Run by labgrid's own Python.

Arguments: the console's socket, port and key of sshd, how often, the shell's prompt. Prints
seconds a command as JSON: over the serial console, over SSH.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any


def measure(run: Callable[[str], Any], rounds: int) -> list[float]:
    took = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        stdout, _, status = run(f"echo word-{number}")
        if number:  # the first one makes the connection
            took.append(time.perf_counter() - start)
        assert (stdout, status) == ([f"word-{number}"], 0), stdout
    return took


def main() -> None:
    from labgrid import Target
    from labgrid.driver import ExternalConsoleDriver, ShellDriver, SSHDriver
    from labgrid.resource import NetworkService

    socket, port, key, rounds, prompt = sys.argv[1:6]
    target = Target("node")
    assert shutil.which("socat"), "apt-get install socat"
    ExternalConsoleDriver(target, None, cmd=f"socat - UNIX-CONNECT:{socket}", txchunk=4096)
    shell = ShellDriver(target, None, prompt=prompt, login_prompt="login: ", username="root")
    target.activate(shell)
    serial = measure(lambda command: shell.run(command, timeout=120), int(rounds))
    target.deactivate(shell)
    NetworkService(target, None, address="127.0.0.1", username="root", port=int(port))
    ssh = SSHDriver(target, None, keyfile=key)
    target.activate(ssh)
    over_ssh = measure(ssh.run, int(rounds))
    target.deactivate(ssh)
    print(json.dumps({"serial": serial, "ssh": over_ssh}))


if __name__ == "__main__":
    main()

"""The peer of boot.py: labgrid's QEMUDriver, ShellDriver, SSHDriver. Run by labgrid's own Python.

Argument: JSON with ``argv`` (the QEMU command of the same node, without console, monitors and
overlay), ``key`` and ``port``. Prints the seconds from the start to the first SSH command. A login
on the console comes first, as labgrid's strategies do it: nothing else tells when to try SSH.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    asked = json.loads(sys.argv[1])
    options, rest, words = {}, [], iter(asked["argv"][1:])
    for word in words:
        if word in ("-machine", "-cpu", "-m", "-kernel", "-append"):
            options[word] = next(words)
        else:
            rest.append(word)
    start = time.perf_counter()
    from labgrid import Environment, Target
    from labgrid.driver import QEMUDriver, ShellDriver, SSHDriver
    from labgrid.resource import NetworkService

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "env.yaml"
        config.write_text(json.dumps({
            "targets": {"main": {}},
            "tools": {"qemu": asked["argv"][0]},
            "images": {"kernel": options["-kernel"]},
        }))  # fmt: skip
        target = Target("main", env=Environment(str(config)))
        qemu = QEMUDriver(
            target, None, qemu_bin="qemu", machine=options["-machine"], cpu=options["-cpu"],
            memory=f"{options['-m']}M", extra_args=shlex.join(rest), kernel="kernel",
            boot_args=options["-append"],
        )  # fmt: skip
        target.activate(qemu)
        qemu.on()
        try:
            port = int(asked["port"])
            qemu.add_port_forward("tcp", "127.0.0.1", port, "", 22, netdev="net0")
            shell = ShellDriver(
                target, None, prompt=r"(?:\x1b\[\?2004h)?root@\S+:~# ", login_prompt="login: ",
                username="root", login_timeout=600,
            )  # fmt: skip
            target.activate(shell)
            target.deactivate(shell)
            NetworkService(target, None, address="127.0.0.1", username="root", port=port)
            ssh = SSHDriver(target, None, keyfile=asked["key"], connection_timeout=600.0)
            target.activate(ssh)
            _, _, status = ssh.run("true")
            taken = time.perf_counter() - start
            assert status == 0
            target.deactivate(ssh)
        finally:
            qemu.off()
    print(json.dumps(taken))


if __name__ == "__main__":
    main()

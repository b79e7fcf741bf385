"""The archive of a guest, as the shell on a node writes it, is one that others can read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from yoctovirt.smoke.suites.aids import linux

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
@pytest.mark.parametrize("shell", SHELLS)
def test_cpio_reads_what_the_shell_wrote(shell: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "dev").mkdir(parents=True)
    (tree / "bin").mkdir()
    for size in range(5):  # each length of the padding
        (tree / f"bin/f{'x' * size}").write_bytes(bytes(range(size)))
    (tree / "bin/link").symlink_to("../elsewhere")
    archive = tmp_path / "archive"
    script = f"set -e\ntree={tree}\narchive={archive}\n{linux.PACK}"
    run = [shell, "sh"] if shell == "busybox" else [shell]
    subprocess.run([*run, "-c", script], check=True)
    listed = subprocess.run(
        ["cpio", "-itv", "--quiet"], input=archive.read_bytes(), capture_output=True
    )
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.decode().splitlines()
    assert len(lines) == 3 + 5 + 1 + 1  # folders, files, the link, the console
    assert any("bin/link -> ../elsewhere" in line for line in lines)
    assert any(line.startswith("crw") and "5,   1" in line for line in lines)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(
        ["cpio", "-idu", "--quiet", "bin/*"], input=archive.read_bytes(), cwd=out, check=True
    )
    for size in range(5):
        assert (out / f"bin/f{'x' * size}").read_bytes() == bytes(range(size))

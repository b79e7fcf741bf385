"""All sources of a role: fetched, mirrored, built from without a network, and missing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import Places
from tests.layers.servers import free_port, http_server

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]

RECIPE = """\
SUMMARY = "a source that there is not"
LICENSE = "CLOSED"
INHIBIT_DEFAULT_DEPS = "1"
SRC_URI = "{uri}"
SRC_URI[sha256sum] = "{zeros}"
SRCREV = "1111111111111111111111111111111111111111"
"""


def cut_off(yv: Yoctovirt, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command line in a network namespace that has nothing, not even localhost."""
    user = [] if os.geteuid() == 0 else ["--map-current-user"]
    argv = ["unshare", *user, "--net", "--", *yv.argv(*arguments)]
    return subprocess.run(
        argv, env=yv.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2000,
        check=False,
    )  # fmt: skip


def test_mirrored_sources_build_without_a_network(quick: Yoctovirt, places: Places) -> None:
    mirror = places.root / "mirror"
    # The download folder of the first workspace spares the archives a second visit.
    (quick.workspace / "site.yml").write_text("source_mirrors: [downloads]\n")
    try:
        done = quick.run(
            "mirror", "sync", "--to", str(mirror), "--release", "scarthgap", "--sources", "quick",
            timeout=1200,
        )  # fmt: skip
    finally:
        (quick.workspace / "site.yml").unlink()
    assert done.returncode == 0, done.stderr
    downloads = mirror / "downloads"
    assert f"YOCTOVIRT_LAYER_MIRRORS={mirror} DL_DIR={downloads}" in done.stdout
    packages = sorted(downloads.glob("*.deb"))
    assert len(packages) > 10
    assert not any(path.is_symlink() for path in packages), "it is to be carried elsewhere"

    far = places.workspace("far", YOCTOVIRT_LAYER_MIRRORS=str(mirror), DL_DIR=str(downloads))
    away = packages[0].rename(mirror / packages[0].name)
    done = cut_off(far, "fetch", "quick", "--offline")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "1 of 10 recipes could not be fetched" in done.stderr
    assert re.search(rf"/{re.escape(away.name)}\S*: not asked \(offline\)", done.stderr)

    away.rename(packages[0])
    done = cut_off(far, "fetch", "quick", "--offline")
    assert done.returncode == 0, done.stderr
    assert "fetched: 10 recipes, 0 new files" in done.stdout
    done = cut_off(far, "build", "quick", "--offline")
    assert done.returncode == 0, done.stderr
    assert not (far.workspace / "downloads").exists()
    far.assert_nothing_left()


def test_what_cannot_be_had(quick: Yoctovirt, places: Places) -> None:
    layer = places.root / "meta-missing"
    (layer / "conf").mkdir(parents=True)
    (layer / "conf/layer.conf").write_text(
        'BBPATH .= ":${LAYERDIR}"\nBBFILES += "${LAYERDIR}/*.bb"\n'
        'BBFILE_COLLECTIONS += "missing"\nBBFILE_PATTERN_missing = "^${LAYERDIR}/"\n'
        'LAYERSERIES_COMPAT_missing = "kirkstone scarthgap wrynose"\n'
    )
    served = places.root / "served"
    served.mkdir()
    (served / "other.tar.gz").write_text("not what was meant")
    kas = places.root / "missing.yml"

    def fetch(code: int, *recipes: str) -> str:
        kas.write_text(
            f"header: {{version: 19}}\ntarget: [{', '.join(recipes)}]\n"
            f"repos: {{missing: {{path: {layer}, layers: {{.: }}}}}}\n"
        )
        done = quick.run("fetch", "quick", "--with", str(kas), timeout=900)
        assert done.returncode == code, done.stdout + done.stderr
        quick.assert_nothing_left()
        return done.stderr

    with http_server(served) as url:
        host = url.removeprefix("http://")
        nobody = f"127.0.0.1:{free_port()}"
        for name, uri in {
            "gone": f"{url}/gone.tar.gz",
            "other": f"{url}/other.tar.gz",
            "git-gone": f"git://{host}/x.git;protocol=http;branch=main",
            "down": f"http://{nobody}/down.tar.gz",
            "git-down": f"git://{nobody}/x.git;protocol=http;branch=main",
            "nowhere": "https://no.example.invalid/nowhere.tar.gz",
        }.items():
            text = RECIPE.format(uri=uri, zeros="0" * 64)
            (layer / f"{name}_1.0.bb").write_text(text)
        said = fetch(4, "gone", "other", "git-gone", "nowhere")
        assert re.search(r"4 of \d+ recipes could not be fetched", said)
        assert f"{url}/gone.tar.gz: 404: " in said
        assert f"{url}/other.tar.gz: checksum mismatch: sha256 is " in said
        assert f"http://{host}/x.git: repository 'http://{host}/x.git/' not found" in said
        assert "https://no.example.invalid/nowhere.tar.gz: unknown host" in said
        for log in re.findall(r"log: (\S+)", said):
            assert Path(log).is_file()

        said = fetch(3, "down", "git-down", "nowhere")
        assert f"http://{nobody}/down.tar.gz: Connection refused" in said
        assert re.search(rf"http://{nobody}/x\.git: Failed to connect", said)
        assert "can this host reach these hosts" in said

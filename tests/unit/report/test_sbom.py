"""What OpenEmbedded says of licences and vulnerabilities: found, kept, summed up, shown."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests import samples
from yoctovirt.build.deploydir import DeployDir, open_deploy_dir
from yoctovirt.build.oefindings import keep_findings
from yoctovirt.report.html import render_html
from yoctovirt.report.sbom import cves, licenses, sbom_view, severity_of
from yoctovirt.report.statement import statement

#: Files of a real build of the role quick on scarthgap, with create-spdx and cve-check.
REAL = Path(__file__).resolve().parents[2] / "data" / "oe"
IMAGE = "core-image-minimal-qemux86-64"


def deploy(tmp_path: Path, name: str = IMAGE) -> DeployDir:
    return open_deploy_dir(samples.deploy_dir(tmp_path / "deploy/images/qemux86-64", name))


def add_license(tmp_path: Path, folder: str, text: str = "") -> Path:
    place = tmp_path / "deploy" / "licenses" / folder
    place.mkdir(parents=True)
    manifest = place / "license.manifest"
    manifest.write_text(text or (REAL / "license.manifest").read_text())
    return manifest


def test_nothing_is_kept_where_nothing_was_made(tmp_path: Path) -> None:
    (tmp_path / "record").mkdir()
    assert keep_findings(deploy(tmp_path), tmp_path / "record") == []
    assert list((tmp_path / "record").iterdir()) == []
    assert sbom_view(tmp_path / "record") is None


@pytest.mark.parametrize(
    "folder",
    [
        f"{IMAGE}-20260101",  # kirkstone
        f"qemux86_64/{IMAGE}.rootfs-20260101",  # scarthgap
        f"qemux86_64/{IMAGE}",  # the link
    ],
)
def test_the_licences_of_this_image_are_found(tmp_path: Path, folder: str) -> None:
    found = deploy(tmp_path)
    dated = found.path / f"{folder.rpartition('/')[2]}.rootfs.ext4"
    if "2026" in folder:
        found.rootfs.rename(dated)
        found.rootfs.symlink_to(dated.name)
    add_license(tmp_path, folder)
    add_license(tmp_path, "qemux86_64/another-image-qemux86-64", "PACKAGE NAME: x\nLICENSE: y\n\n")
    assert keep_findings(found, tmp_path) == ["license.manifest"]
    assert (tmp_path / "sbom/license.manifest").read_text() == (
        REAL / "license.manifest"
    ).read_text()


def test_licences_of_other_images_are_left_alone(tmp_path: Path) -> None:
    add_license(tmp_path, f"qemux86_64/{IMAGE}-20250101")
    add_license(tmp_path, "qemux86_64/another-image-qemux86-64")
    assert keep_findings(deploy(tmp_path), tmp_path) == []


def test_packages_are_counted_by_licence(tmp_path: Path) -> None:
    text = (
        "PACKAGE NAME: a\nPACKAGE VERSION: 1\nRECIPE NAME: a\n"
        "LICENSE: MIT & (GPL-2.0-only | MIT)\n\n"
        "PACKAGE NAME: b\nPACKAGE VERSION: 1: 2\nRECIPE NAME: a\nLICENSE: MIT\n"
    )
    (tmp_path / "m").write_text(text)
    assert licenses(tmp_path / "m") == {
        "packages": 2,
        "names": {"MIT": ["a", "b"], "GPL-2.0-only": ["a"]},
    }
    assert licenses(tmp_path / "none") is None


def test_the_licences_of_a_real_build() -> None:
    found = licenses(REAL / "license.manifest")
    assert found is not None
    text = (REAL / "license.manifest").read_text()
    assert found["packages"] == text.count("PACKAGE NAME: ") > 10
    assert "docker.io" in found["names"]["Apache-2.0"]
    assert sum(map(len, found["names"].values())) > found["packages"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (("0.0", "9.8", "0.0"), (9.8, "critical")),
        (("7.5", "0.0", "0.0"), (7.5, "high")),
        (("10.0", "0.0", ""), (10.0, "high")),  # CVSS 2 knows no critical
        (("4.0", "3.9", "8.7"), (8.7, "high")),  # the newest system counts
        (("0.0", "4.0", "0.0"), (4.0, "medium")),
        (("0.0", "0.0", "0.0"), (0.0, "not scored")),
        ((None, "?", None), (0.0, "not scored")),
    ],
)
def test_severities(scores: tuple[str | None, ...], expected: tuple[float, str]) -> None:
    issue = dict(zip(("scorev2", "scorev3", "scorev4"), scores, strict=True))
    assert severity_of(issue) == expected


def test_the_cves_of_a_real_build(tmp_path: Path) -> None:
    path = tmp_path / "image.cve.json"
    shutil.copyfile(REAL / "image.cve.json", path)
    found = cves(path)
    assert found is not None
    assert found["unpatched"] == {"critical": 1, "high": 1, "medium": 1, "low": 0, "not scored": 1}
    assert [row["id"] for row in found["rows"]] == [
        "CVE-1900-0001", "CVE-1900-0006", "CVE-1900-0002", "CVE-1900-0005",
    ]  # fmt: skip
    assert found["rows"][0]["package"] == "quick-docker"
    assert (found["patched"], found["ignored"]) == (1, 1)


@pytest.mark.parametrize("text", ["{", "[]", '{"package": 1}', '{"version": "1"}', ""])
def test_what_is_no_list_of_cves_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "image.cve.json"
    path.write_text(text)
    assert cves(path) is None


def test_all_of_it_is_kept_stated_and_shown(tmp_path: Path) -> None:
    found = deploy(tmp_path)
    add_license(tmp_path, f"qemux86_64/{IMAGE}")
    for name in ("image.cve.json", "image.spdx.index.json"):
        target = found.path / name.replace("image.cve", IMAGE).replace(
            "image.spdx", f"{IMAGE}.spdx"
        )
        shutil.copyfile(REAL / name, target)
    graph = [{"type": "software_Package"}] * 3 + [
        {"type": "Relationship", "comment": "x" * 2_000_000}
    ]
    (found.path / f"{IMAGE}.spdx.json").write_text(json.dumps({"@graph": graph}))
    (found.path / f"{IMAGE}.spdx.tar.zst").write_bytes(b"archive")
    record = samples.green_run(tmp_path / "runs")
    kept = keep_findings(found, record)
    assert sorted(kept) == [
        "image.cve.json", "image.spdx.index.json", "image.spdx.json.gz", "image.spdx.tar.zst",
        "license.manifest",
    ]  # fmt: skip
    with gzip.open(record / "sbom/image.spdx.json.gz") as packed:
        assert json.load(packed)["@graph"] == graph
    stated = statement(record)["predicate"]["runDetails"]["byproducts"]
    assert {f"sbom/{name}" for name in kept} <= {each["name"] for each in stated}
    html = render_html(record)
    for words in (
        "Licences and vulnerabilities", "CVE-1900-0001", "<b>1</b> critical", "Apache-2.0",
        "SPDX 3.0, 3 packages", "SPDX 2.2, all documents", 'href="sbom/image.spdx.tar.zst"',
    ):  # fmt: skip
        assert words in html, words
    assert "Licences and vulnerabilities" not in render_html(samples.green_run(tmp_path / "other"))

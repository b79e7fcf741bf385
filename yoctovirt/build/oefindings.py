"""What OpenEmbedded itself says of an image: licences, SPDX, known vulnerabilities.

Classes license_image (``tmp/deploy/licenses``), create-spdx, cve-check and, from wrynose on,
sbom-cve-check, which leave their files in the deploy directory.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

from yoctovirt.base.files import disk_error, make_folder
from yoctovirt.build.deploydir import DeployDir

#: The folder of a run record for them.
FOLDER = "sbom"
LICENSES = ("license.manifest", "image_license.manifest")
#: Behind the name of the image: SPDX 3.0, SPDX 2.2 (an archive, and its index).
SPDX = (".spdx.json", ".spdx.tar.zst", ".spdx.index.json")
#: cve-check of kirkstone and scarthgap, sbom-cve-check in the same format.
CVES = (".json", ".sbom-cve-check.yocto.json")
#: JSON of more bytes is kept compressed.
_LARGE = 1 << 20


def findings_of(deploy: DeployDir) -> Iterator[tuple[str, Path]]:
    """Yield what there is of the image in *deploy*: name in a record, file."""
    for folder in _license_folders(deploy):
        for name in LICENSES:
            if (folder / name).is_file() and (folder / name).stat().st_size:
                yield name, folder / name
        break
    # Kirkstone's names of images have no ``.rootfs``, those of later releases may have it.
    names = dict.fromkeys([deploy.image, deploy.image.removesuffix(".rootfs")])
    for suffix in (*SPDX, *CVES):
        for name in names:
            path = deploy.path / f"{name}{suffix}"
            if path.is_file():
                yield f"image{'.cve' if suffix == '.json' else ''}{suffix}", path
                break


def _license_folders(deploy: DeployDir) -> list[Path]:
    """Return the folders with the licences of just this image, the best first."""
    # tmp/deploy/licenses/[<machine architecture>/]<image>[-<date>]
    root = deploy.path.parent.parent / "licenses"
    built = deploy.rootfs.resolve().name
    link = deploy.image.removesuffix(".rootfs")
    found = [
        path.parent
        for depth in ("*/", "*/*/")
        for path in root.glob(f"{depth}{LICENSES[0]}")
        if path.parent.name in (deploy.image, link) or built.startswith(f"{path.parent.name}.")
    ]
    # A dated folder is of this build; the link beside it is of the last one.
    return sorted(found, key=lambda path: (path.name in (deploy.image, link), path.name))


def keep_findings(deploy: DeployDir, record: Path) -> list[str]:
    """Copy what there is into the folder ``sbom`` of *record*; return the names there.

    Large JSON is compressed (gzip). Raises InfrastructureError for the disk.
    """
    kept = []
    for name, path in findings_of(deploy):
        target = make_folder(record / FOLDER) / name
        try:
            if path.suffix == ".json" and path.stat().st_size > _LARGE:
                target = target.with_name(f"{name}.gz")
                with (
                    path.open("rb") as source,
                    target.open("wb") as out,
                    gzip.GzipFile("", "wb", 6, out, mtime=0) as packed,
                ):
                    shutil.copyfileobj(source, packed, 1 << 20)
            else:
                shutil.copyfile(path, target)
        except OSError as error:
            raise disk_error(error, target) from error
        kept.append(target.name)
    return kept

"""The files that travel with the package: kas/, layers-manifest/, recipes-extra/."""

from __future__ import annotations

from pathlib import Path

from yoctovirt.errors import InfrastructureError


def data_root() -> Path:
    """Return the folder that holds ``kas/`` and its neighbours.

    In a wheel they lie below the package; in a clone at the top of the repository.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "_data", package.parent):
        if (root / "kas" / "inc").is_dir():
            return root
    raise InfrastructureError(
        f"the kas files of yoctovirt are missing beside {package}",
        "install yoctovirt again: the installation is not whole",
    )

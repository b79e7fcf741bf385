"""One hash equivalence database for all build directories of a workspace."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from tests.integration.conftest import PATIENCE, Yoctovirt
from tests.layers.conftest import Places
from tests.layers.test_quick import figures
from yoctovirt.config.resources import data_root

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]

#: What poky sets, and the distribution of quick does not.
EQUIVALENCE = """\
header: {version: 19}
local_conf_header:
  equivalence: |
    BB_SIGNATURE_HANDLER = "OEEquivHash"
    BB_HASHSERVE = "auto"
"""
#: A change of a recipe that does not change what it makes.
NEUTRAL = """\
header: {version: 19}
local_conf_header:
  neutral: |
    do_install[vardeps] += "YV_TEST_NEUTRAL"
    YV_TEST_NEUTRAL:pn-quick-base = "another value"
"""
#: With a database of its own: the proof that it is the shared one that helps.
ALONE = """\
header: {version: 19}
local_conf_header:
  alone: |
    PERSISTENT_DIR = "${TOPDIR}/alone"
"""


def rows(yv: Yoctovirt) -> int:
    with sqlite3.connect(
        f"file:{yv.workspace}/hashserv/scarthgap/hashserv.db?mode=ro", uri=True
    ) as database:
        (count,) = database.execute("SELECT COUNT(*) FROM unihashes_v3").fetchone()
    return int(count)


def test_two_builds_at_once_share_it(quick: Yoctovirt, places: Places) -> None:
    yv = places.workspace("equivalence")
    own = yv.workspace / "kas" / "inc"
    own.mkdir(parents=True)
    (yv.workspace / "yoctovirt.yml").write_text("version: 1\n")
    (yv.workspace / "downloads").symlink_to(quick.workspace / "downloads")
    for role in ("one", "two", "three", "four"):
        for suffix in ("yml", "role.yml"):
            shutil.copy(data_root() / f"kas/inc/quick.{suffix}", own / f"{role}.{suffix}")
    equivalence, neutral, alone = (
        yv.workspace / f"{name}.yml" for name in ("equivalence", "neutral", "alone")
    )
    equivalence.write_text(EQUIVALENCE)
    neutral.write_text(NEUTRAL)
    alone.write_text(ALONE)

    calls = [yv.start("build", role, "--with", str(equivalence)) for role in ("one", "two")]
    outputs = [call.communicate(timeout=900 * PATIENCE)[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], outputs
    for role in ("one", "two"):
        link = yv.workspace / f"build-{role}/cache/hashserv.db"
        assert link.resolve() == (yv.workspace / "hashserv/scarthgap/hashserv.db").resolve()
        log = next(yv.workspace.glob(f"runs/*-build-{role}/build.log")).read_text()
        assert "database is locked" not in log
    assert rows(yv) > 50

    # What "one" learns of an output-neutral change is known to "three", which starts from
    # nothing: all that depends on the changed recipe comes from sstate.
    both = ("--with", str(equivalence), "--with", str(neutral))
    for role in ("one", "three"):
        done = yv.run("build", role, *both, timeout=1800)
        assert done.returncode == 0, done.stderr
    got = figures(yv)
    print(f"fresh directory after an output-neutral change: {got}")
    assert got["sstate_local"] >= got["sstate_wanted"] - 3

    done = yv.run("build", "four", *both, "--with", str(alone), timeout=1800)
    assert done.returncode == 0, done.stderr
    missed = figures(yv)
    print(f"the same with a database of its own: {missed}")
    assert missed["sstate_local"] < got["sstate_local"] - 10
    yv.assert_nothing_left()

"""compute after controller: what bitbake would build again, on real layers."""

from __future__ import annotations

import json

import pytest

from tests.layers.conftest import Places

pytestmark = [pytest.mark.layers, pytest.mark.timeout(3600)]


def test_compute_takes_all_but_its_own_image_from_the_controller(places: Places) -> None:
    yv = places.workspace("sharing")
    done = yv.run("sharing", "controller", "compute", "--json", timeout=3500)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(f"{result['equal']} of {result['tasks']} tasks equal")
    assert result["tasks"] > 8500
    assert result["changed"] == {}, result["why"]
    assert set(result["new"]) == {"openstack-image-compute", "packagegroup-cloud-compute"}
    assert result["equal"] == result["tasks"] - sum(map(len, result["new"].values()))

"""What the suites read out of what the client prints."""

from __future__ import annotations

import pytest

from yoctovirt.smoke.suites.aids.openstack import parse_json


def test_warnings_before_the_json() -> None:
    output = '/usr/lib/x.py:1: Warning: old\n  warn("x")\n[ not JSON\n{\n "a": [1]\n}\n'
    assert parse_json(output, "token issue") == {"a": [1]}
    assert parse_json("[]\n", "user list") == []


@pytest.mark.parametrize("output", ["", "Internal error\n", '{"a": '])
def test_no_json(output: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="printed no JSON"):
        parse_json(output, "token issue")

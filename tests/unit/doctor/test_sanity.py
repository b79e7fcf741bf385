"""What a release demands, from texts as kirkstone, scarthgap and wrynose write them."""

from __future__ import annotations

import pytest

from yoctovirt.config.kasfile import releases
from yoctovirt.doctor import sanity
from yoctovirt.doctor.packages import package_of
from yoctovirt.doctor.tools import number

CONF = """\
HOSTTOOLS += " \\
    [ ar as awk bash bzip2 cat chgrp chmod chown chrpath cmp comm cp cpio \\
    cpp cut date dd diff diffstat dirname du echo \\
"
HOSTTOOLS += "${@'ip ping' if d.getVar('X') else ''}"
HOSTTOOLS_NONFATAL += "aws gcc-ar"
"""
OLD = """\
SANITY_REQUIRED_UTILITIES ?= "patch diffstat git \\
    gawk wget"

def check_{tool}_version(sanity_data):
    if bb.utils.vercmp_string_op(version, "{least}", "<"):
        return "too old"
    if bb.utils.vercmp_string_op(version, "4.2.1", "=="):
        return None

def after(d):
    if sys.hexversion < 0x030A00F0:
        locale.setlocale(locale.LC_ALL, "en_US.UTF-8")
    status.addresult(check_path_length(tmpdir, "TMPDIR", 410))
"""
NEW = OLD.replace(
    '    if bb.utils.vercmp_string_op(version, "{least}", "<")',
    '    {tool}_minimum_version = "{least}"\n'
    '    if bb.utils.vercmp_string_op(version, {tool}_minimum_version, "<")',
).replace("410", '400))\n    status.addresult(check_non_ascii(topdir, "TOPDIR"')
LEAST = {"gcc": "8.0", "git": "1.8.3.1", "make": "4.0", "patch": "2.7", "tar": "1.28"}


def text(form: str) -> str:
    head, body = form.split("\n\n", 1)
    function, rest = body.split("\ndef after", 1)
    functions = [function.format(tool=tool, least=least) for tool, least in LEAST.items()]
    return "\n\n".join([head, *functions, f"def after{rest}"])


@pytest.mark.parametrize(("form", "length", "ascii_only"), [(OLD, 410, False), (NEW, 400, True)])
def test_both_forms(form: str, length: int, ascii_only: bool) -> None:
    found = sanity.parse(CONF, text(form), "here")
    assert found is not None
    assert found.versions == {**LEAST, "python3": "3.10"}
    assert (found.tmpdir_length, found.ascii_path) == (length, ascii_only)
    assert found.locale == "en_US.UTF-8"
    assert {"[", "ar", "echo", "wget", "git"} <= set(found.tools)
    # Those with conditions and those that need not be there are not demanded.
    assert not {"ip", "ping", "aws", "gcc-ar", "\\"} & set(found.tools)


@pytest.mark.parametrize("gone", ["HOSTTOOLS", "hexversion", "check_tar_version", "setlocale"])
def test_what_is_not_understood_is_not_guessed(gone: str) -> None:
    conf, classes = CONF.replace(gone, "x"), text(OLD).replace(gone, "x")
    assert sanity.parse(conf, classes, "here") is None


def test_the_files_of_both_layouts_are_found() -> None:
    files = {"meta/conf/bitbake.conf": CONF, "meta/classes/sanity.bbclass": text(OLD)}
    assert sanity.from_files(files.get, "here") is not None
    files["meta/classes-global/sanity.bbclass"] = files.pop("meta/classes/sanity.bbclass")
    assert sanity.from_files(files.get, "here") is not None
    files.pop("meta/conf/bitbake.conf")
    assert sanity.from_files(files.get, "here") is None


@pytest.mark.parametrize("release", releases())
def test_each_release_of_ours_is_stored(release: str) -> None:
    found = sanity.stored(release)
    assert found is not None
    assert len(found.tools) > 90
    assert all(number(version) for version in found.versions.values())
    for tool in found.tools:
        assert all(package_of(tool, manager) for manager in ("apt", "dnf", "zypper"))


def test_a_release_of_somebody_else() -> None:
    assert sanity.stored("dunfell") is None

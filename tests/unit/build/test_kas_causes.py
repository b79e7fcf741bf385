"""The catalogue of causes against logs that real bitbakes and real tools printed.

Each file of ``logs/`` says in its header what made it. They are shortened: bitbake's DEBUG
and NOTE lines, lists of packages and values of PATH are left out, folders renamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from yoctovirt.build.kas.causes import CATALOGUE, Cause, find_cause, load_catalogue
from yoctovirt.errors import UsageError

LOGS = Path(__file__).with_name("logs")
#: What a log still says where the lines of its cause are gone: less, and nothing wrong.
LESS = {
    "checksum": {"fetch"},
    "disk-full": {"fetch"},
    "git-revision": {"fetch"},
    "host-unknown": {"fetch"},
    "header-missing": {"compile"},
    "licence-text": {"qa"},
    "not-shipped": {"qa"},
    "licence-flag": {"provider"},
    "skipped": {"provider"},
    "machine": {"sanity"},
    "distro": {"sanity"},
    "root": {"sanity"},
    "tmpdir-too-long": {"sanity"},
}


@dataclass(frozen=True)
class Log:
    path: Path
    head: dict[str, str]
    text: str

    def cause(self, text: str | None = None) -> Cause | None:
        return find_cause(
            self.text if text is None else text, self.head.get("task"), self.head.get("recipe", "")
        )


def read(path: Path) -> Log:
    head, _, text = path.read_text().partition("\n\n")
    rows = [line.removeprefix("# ").partition(": ") for line in head.splitlines()]
    return Log(path, {key: value for key, _, value in rows}, text)


ALL = [read(path) for path in sorted(LOGS.glob("*/*.log"))]
BAD = [log for log in ALL if log.head["cause"] not in ("none", "UNKNOWN")]
NOTHING = [log for log in ALL if log not in BAD]


def name(log: Log) -> str:
    return f"{log.path.parent.name}-{log.path.stem}"


@pytest.mark.parametrize("log", BAD, ids=name)
def test_a_real_log_shows_its_cause(log: Log) -> None:
    assert log.head["command"]
    assert log.head["release"].startswith(("kirkstone (bitbake 2.0", "scarthgap (bitbake 2.8",
                                           "wrynose (bitbake 2.18"))  # fmt: skip
    cause = log.cause()
    assert cause is not None
    assert cause.name == log.head["cause"]
    assert cause.title == log.head["title"]
    assert "{" not in cause.remedy.replace("${", "")
    # What is shown stands in the log.
    assert all(line in log.text for line in cause.lines)


@pytest.mark.parametrize("log", BAD, ids=name)
def test_without_the_lines_that_say_it_nothing_else_is_guessed(log: Log) -> None:
    (entry,) = (entry for entry in load_catalogue(CATALOGUE) if entry.name == log.head["cause"])
    text = log.text
    for pattern in entry.match:
        while hit := pattern.search(text):
            # The line in which the match begins is taken out.
            begin = text.rfind("\n", 0, hit.start()) + 1
            end = text.find("\n", hit.start())
            text = text[:begin] + (text[end + 1 :] if end >= 0 else "")
    left = log.cause(text)
    assert left is None or left.name in LESS.get(entry.name, set()), left


@pytest.mark.parametrize("log", NOTHING, ids=name)
def test_a_log_that_says_nothing_has_no_cause(log: Log) -> None:
    assert log.cause() is None


def test_there_are_such_logs() -> None:
    assert {log.path.parent.name for log in ALL} == {"good", "kirkstone", "scarthgap", "wrynose"}
    assert any(log.head["cause"] == "UNKNOWN" for log in NOTHING)
    assert len([log for log in NOTHING if log.head["cause"] == "none"]) >= 5


def test_each_entry_has_a_log() -> None:
    known = {entry.name for entry in load_catalogue(CATALOGUE)}
    assert known == {log.head["cause"] for log in BAD}


def test_an_entry_is_for_its_tasks_only() -> None:
    text = "wget: unable to resolve host address 'example.com'\n"
    cause = find_cause(text, "do_compile")
    assert cause is not None
    assert cause.name == "network-in-task"
    assert find_cause(text, "do_fetch") is None
    assert find_cause("a.c:1:2: error: x\n", None) is None, "no task ran: that is no compiler"


def test_many_facts_are_counted() -> None:
    tried = "".join(f"DEBUG: Fetching http://m{n}/x using command 'wget'\n" for n in range(20))
    error = (
        "ERROR: Bitbake Fetcher Error: FetchError('Unable to fetch URL from any source.', 'u')\n"
    )
    cause = find_cause(tried + error, "do_fetch")
    assert cause is not None
    assert cause.facts["tried"][-1] == "… and 12 more"
    assert len(cause.facts["tried"]) == 9


ENTRY = {"name": "a", "title": "t {x}", "remedy": "r", "blame": "host", "match": ["(?P<x>y)"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blame": "nobody"}, "'nobody' is not one of"),
        ({"mach": ["x"]}, "'mach' was unexpected"),
        ({"match": []}, "should be non-empty"),
        ({"match": ["("]}, "unterminated subpattern"),
        ({"match": ["y"]}, "title names x, and 'y' finds no such thing"),
        ({"remedy": "{z}"}, "remedy names z"),
        ({"collect": {"x": "no group"}}, "collect.x has not one group"),
        ({"name": "Not So"}, "does not match"),
    ],
)
def test_a_catalogue_that_is_wrong_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "causes.yml"
    path.write_text(yaml.safe_dump({"causes": [ENTRY]}))
    assert load_catalogue(path)[0].name == "a"
    path.write_text(yaml.safe_dump({"causes": [ENTRY | change]}))
    with pytest.raises(UsageError, match=r"causes\.yml") as caught:
        load_catalogue(path)
    assert said in caught.value.message


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "causes.yml"
    path.write_text(yaml.safe_dump({"causes": [ENTRY, ENTRY]}))
    with pytest.raises(UsageError, match="two entries of that name"):
        load_catalogue(path)

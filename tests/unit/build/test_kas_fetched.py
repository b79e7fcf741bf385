"""What do_fetch says of sources that it could not get; the logs are those of bitbake 2.8."""

# ruff: noqa: E501, RUF001

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakebitbake import fake_poky
from yoctovirt.build.kas.fetched import Attempt, Unfetched, fetch_error, read_log
from yoctovirt.errors import BuildError, InfrastructureError

# bitbake --runall=fetch on scarthgap, recipes made for it; long lines of the search for
# mirrors taken out.
FOUND = """\
DEBUG: Trying PREMIRRORS
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/a.tar.gz.tmp -P /w/dl 'http://127.0.0.1:18081/mirror/a.tar.gz'
2026-11-21 07:44:54 ERROR 404: File not found.

DEBUG: Trying Upstream
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/a.tar.gz.tmp -P /w/dl 'http://127.0.0.1:18081/a.tar.gz'
2026-11-21 07:44:54 (12.3 MB/s) - ‘/w/dl/a.tar.gz.tmp’ saved [6/6]
"""
GONE = """\
DEBUG: Trying PREMIRRORS
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/gone-1.0.tar.gz.tmp -P /w/dl 'http://127.0.0.1:18081/mirror/gone-1.0.tar.gz'
--2026-11-21 07:44:54--  http://127.0.0.1:18081/mirror/gone-1.0.tar.gz
Connecting to 127.0.0.1:18081... connected.
HTTP request sent, awaiting response... 404 File not found
2026-11-21 07:44:54 ERROR 404: File not found.

DEBUG: Mirror fetch failure for url http://127.0.0.1:18081/mirror/gone-1.0.tar.gz (original url: http://127.0.0.1:18081/gone-1.0.tar.gz)
DEBUG: Trying Upstream
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/gone-1.0.tar.gz.tmp -P /w/dl 'http://127.0.0.1:18081/gone-1.0.tar.gz'
--2026-11-21 07:44:54--  http://127.0.0.1:18081/gone-1.0.tar.gz
Connecting to 127.0.0.1:18081... connected.
HTTP request sent, awaiting response... 404 File not found
2026-11-21 07:44:55 ERROR 404: File not found.

WARNING: Failed to fetch URL http://127.0.0.1:18081/gone-1.0.tar.gz, attempting MIRRORS if available
DEBUG: Trying MIRRORS
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/gone-1.0.tar.gz.tmp -P /w/dl 'http://sources.openembedded.org/gone-1.0.tar.gz'
--2026-11-21 07:44:55--  http://sources.openembedded.org/gone-1.0.tar.gz
Resolving sources.openembedded.org (sources.openembedded.org)... failed: Name or service not known.
wget: unable to resolve host address ‘sources.openembedded.org’
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/gone-1.0.tar.gz.tmp -P /w/dl 'http://127.0.0.1:9/last/gone-1.0.tar.gz'
--2026-11-21 07:44:55--  http://127.0.0.1:9/last/gone-1.0.tar.gz
Connecting to 127.0.0.1:9... failed: Connection refused.
ERROR: Bitbake Fetcher Error: FetchError('Unable to fetch URL from any source.', 'http://127.0.0.1:18081/gone-1.0.tar.gz')
"""
HOST = """\
DEBUG: Trying PREMIRRORS
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/host-1.0.tar.gz.tmp -P /w/dl 'http://127.0.0.1:18081/mirror/host-1.0.tar.gz'
2026-11-21 07:44:53 ERROR 404: File not found.

DEBUG: Trying Upstream
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/host-1.0.tar.gz.tmp -P /w/dl 'https://no.example.invalid/host-1.0.tar.gz'
Resolving no.example.invalid (no.example.invalid)... failed: Name or service not known.
wget: unable to resolve host address ‘no.example.invalid’
ERROR: Bitbake Fetcher Error: FetchError('Unable to fetch URL from any source.', 'https://no.example.invalid/host-1.0.tar.gz')
"""
GIT = """\
DEBUG: Trying PREMIRRORS
DEBUG: Trying Upstream
DEBUG: Fetcher accessed the network with the command LANG=C git -c gc.autoDetach=false -c core.pager=cat -c safe.bareRepository=all clone --bare --mirror https://127.0.0.1:9/x.git /w/dl/git2/127.0.0.1.9.x.git --progress
Cloning into bare repository '/w/dl/git2/127.0.0.1.9.x.git'...
fatal: unable to access 'https://127.0.0.1:9/x.git/': Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server
ERROR: Bitbake Fetcher Error: FetchError('Unable to fetch URL from any source.', 'git://127.0.0.1:9/x.git;protocol=https;branch=main')
"""
GIT_GONE = GIT.replace("127.0.0.1:9", "127.0.0.1:18081").replace(
    "fatal: unable to access 'https://127.0.0.1:18081/x.git/': Failed to connect to 127.0.0.1 port "
    "9 after 0 ms: Couldn't connect to server",
    "fatal: repository 'http://127.0.0.1:18081/x.git/' not found",
)
SUM = f"""\
DEBUG: Trying PREMIRRORS
DEBUG: Trying Upstream
DEBUG: Fetcher accessed the network with the command /usr/bin/env wget -t 2 -T 100 -O /w/dl/sum-1.0.tar.gz.tmp -P /w/dl 'http://127.0.0.1:18081/sum-1.0.tar.gz'
2026-11-21 07:44:53 (1.1 MB/s) - ‘/w/dl/sum-1.0.tar.gz.tmp’ saved [6/6]
ERROR: Fetcher failure for URL: 'http://127.0.0.1:18081/sum-1.0.tar.gz'. Checksum mismatch!
File: '/w/dl/sum-1.0.tar.gz.tmp' has sha256 checksum '5891b5b522' when '{"0" * 10}' was expected
ERROR: Bitbake Fetcher Error: FetchError('Unable to fetch URL from any source.', 'http://127.0.0.1:18081/sum-1.0.tar.gz')
"""
DENIED = HOST.replace(
    "Resolving no.example.invalid (no.example.invalid)... failed: Name or service not known.\n"
    "wget: unable to resolve host address ‘no.example.invalid’\n",
    "HTTP request sent, awaiting response... 401 Unauthorized\n\n"
    "Username/Password Authentication Failed.\n",
)
OFFLINE = """\
DEBUG: Trying PREMIRRORS
DEBUG: Trying Upstream
ERROR: Bitbake Fetcher Error: NetworkAccess('http://deb.example.org/a.deb', '/usr/bin/env wget ...')
"""


def test_each_place_with_its_answer() -> None:
    url, attempts = read_log(FOUND + GONE)
    assert url == "http://127.0.0.1:18081/gone-1.0.tar.gz"
    assert attempts == (
        Attempt("http://127.0.0.1:18081/mirror/gone-1.0.tar.gz", "404: File not found"),
        Attempt("http://127.0.0.1:18081/gone-1.0.tar.gz", "404: File not found"),
        Attempt("http://sources.openembedded.org/gone-1.0.tar.gz", "unknown host"),
        Attempt("http://127.0.0.1:9/last/gone-1.0.tar.gz", "Connection refused"),
    )


@pytest.mark.parametrize(
    ("log", "reason", "gone"),
    [
        (GONE, "404: File not found", True),
        (HOST, "unknown host", False),
        (
            GIT,
            "Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server",
            False,
        ),
        (GIT_GONE, "repository 'http://127.0.0.1:18081/x.git/' not found", True),
        (SUM, "checksum mismatch: sha256 is 5891b5b522, expected 0000000000", True),
        (DENIED, "401 Unauthorized", False),
        (OFFLINE, "not asked (offline)", False),
    ],
    ids=["404", "host", "git host", "git 404", "checksum", "401", "offline"],
)
def test_whether_a_source_is_gone_or_its_host_out_of_reach(
    log: str, reason: str, gone: bool
) -> None:
    found = Unfetched("a_1.0.bb", *read_log(log), None)
    assert found.url
    assert reason in [one.reason for one in found.attempts]
    assert found.gone == gone


def output(folder: Path, *logs: str) -> str:
    """Return what bitbake prints of failed fetches, their logs in *folder*."""
    lines = []
    for number, text in enumerate(logs):
        log = folder / f"src-{number}/1.0/temp/log.do_fetch.{number}"
        log.parent.mkdir(parents=True)
        log.write_text(text)
        lines += [
            f"ERROR: Logfile of failure stored in: {log}",
            f"ERROR: Task (/x/meta/src-{number}_1.0.bb:do_fetch) failed with exit code '1'",
        ]
    return "\n".join(lines)


def test_one_source_that_is_gone_decides(tmp_path: Path) -> None:
    error = fetch_error(output(tmp_path, HOST, GONE), 7, Path("/r/fetch.log"))
    assert isinstance(error, BuildError)
    assert error.message.startswith("2 of 7 recipes could not be fetched; tried:\n  src-0_1.0.bb:")
    assert "    http://127.0.0.1:18081/gone-1.0.tar.gz: 404: File not found\n" in error.message
    assert f"    log: {tmp_path}/src-1/1.0/temp/log.do_fetch.1" in error.message
    assert "source_mirrors" in error.hint


def test_hosts_out_of_reach_are_the_networks_fault(tmp_path: Path) -> None:
    error = fetch_error(output(tmp_path, HOST, GIT, OFFLINE), 7, Path("/r/fetch.log"))
    assert isinstance(error, InfrastructureError)
    assert "proxies in site.yml" in error.hint


def test_what_is_no_fetch_is_explained_elsewhere(tmp_path: Path) -> None:
    said = output(tmp_path, GONE) + (
        "\nERROR: Task (/x/meta/b_1.0.bb:do_compile) failed with exit code '1'"
    )
    assert fetch_error(said, 7, Path("/r/fetch.log")) is None
    assert fetch_error("ERROR: Unable to parse x", 0, Path("/r/fetch.log")) is None


def test_the_verb(tmp_path: Path) -> None:
    fake = fake_poky(tmp_path)
    left = fake.workspace / "fetch/mine-scarthgap/tmp/stamps"
    left.mkdir(parents=True)
    (fake.workspace / "site.yml").write_text("PRSERV_HOST: 127.0.0.1:9\n")
    done = fake.call("fetch", "mine", "--mirror-tarballs")
    assert done.returncode == 0, done.stderr
    seen = fake.seen()
    assert seen["argv"][1:] == ["-c", "build", "--continue", "--runall=fetch", "my-image"]
    assert seen["cwd"] == str(fake.workspace / "fetch/mine-scarthgap")
    assert seen["env"]["BB_GENERATE_MIRROR_TARBALLS"] == "1"
    assert "PRSERV_HOST" not in seen["env"], "a fetch needs none"
    assert not left.exists(), "what was fetched into another DL_DIR is not done"
    run = json.loads((fake.record() / "run.json").read_text())
    assert run["phases"][0]["name"] == "fetch"
    assert run["phases"][0]["details"]["dl_dir"] == str(fake.workspace / "downloads")
    assert (fake.record() / "fetch.log").is_file()
    assert (fake.record() / "kas.yml").is_file()

    done = fake.call("clean", "--builds")
    assert "(1 folders)" in done.stdout
    assert list((fake.workspace / "fetch").iterdir()) == []

    done = fake.call("fetch", "reference")
    assert done.returncode == 2
    assert "made of Debian packages" in done.stderr
    done = fake.call("mirror", "sync", "--to", str(tmp_path / "m"), "--sources", "mein")
    assert done.returncode == 2
    assert "did you mean mine?" in done.stderr
    assert not (tmp_path / "m").exists()

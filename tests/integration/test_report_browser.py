"""The report in a real browser: what a person sees, with and without JavaScript."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.select import Select

from tests import samples
from tests.browser import Browser, require_browser, start_browser
from yoctovirt.report.html import write_html

pytestmark = pytest.mark.browser

SAMPLES = {
    "green": samples.green_run,
    "red": samples.red_run,
    "boot-failed": samples.boot_failed_run,
    "interrupted": samples.interrupted_run,
    "built": samples.built_run,
    "pair": samples.pair_run,
    "sbom": samples.sbom_run,
}
WIDTHS = (390, 1200)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bool], Browser]]:
    """Start a browser, with or without JavaScript, on a profile of its own."""
    require_browser()
    started: list[Browser] = []

    def begin(javascript: bool) -> Browser:
        profile = tmp_path_factory.mktemp("profile")
        started.append(start_browser(profile, javascript=javascript))
        return started[-1]

    yield begin
    for browser in started:
        browser.quit()


@pytest.fixture(scope="module")
def browser(start: Callable[[bool], Browser]) -> Browser:
    return start(True)


@pytest.fixture(scope="module")
def plain_browser(start: Callable[[bool], Browser]) -> Browser:
    return start(False)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("runs")
    return {name: write_html(make(base / name)) for name, make in SAMPLES.items()}


def resize(browser: Browser, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def requested(browser: Browser) -> list[str]:
    """Return the addresses that pages have asked for since the last call.

    Not those of the browser's own pages (chrome:), such as its empty first tab.
    """

    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and not message["params"]["request"]["url"].startswith("chrome:")
    ]


def outcomes(browser: Browser) -> dict[str, str]:
    """Return the word that stands at each check, as it is seen."""
    return {
        row.get_attribute("data-check"): row.find_element("css selector", ".verdict").text
        for row in browser.find_elements("css selector", "[data-check]")
    }


def rows(browser: Browser) -> list[str]:
    """Return the checks whose rows are seen."""
    found = browser.find_elements("css selector", "#verdicts tr[data-check]")
    return [row.get_attribute("data-check") for row in found if row.is_displayed()]


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, as a package for another driver brings it along."""
    found = find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        reason = "axe-core is missing: make .venv-stamps/dev (see the Makefile)"
        if os.environ.get("YOCTOVIRT_REQUIRE_BROWSER") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


def barriers(browser: Browser, axe: str) -> dict[str, list[str]]:
    """Return what axe-core objects to on the page that is open, with all details opened."""
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    browser.execute_script(axe)
    found = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations']}).then(done, e => done({error: String(e)}))"
    )
    assert "error" not in found, found["error"]
    assert len(found["passes"]) > 15, "the rules were applied"
    return {
        each["id"]: [node["html"][:200] for node in each["nodes"]] for each in found["violations"]
    }


def verdicts(page: Path) -> dict[str, str]:
    checks = json.loads((page.parent / "run.json").read_text())["checks"]
    return {check["id"]: check["outcome"] for check in checks}


@pytest.mark.parametrize("name", list(SAMPLES))
def test_the_page_opens_from_a_file_without_a_word_on_the_console(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.get_log("browser")
    requested(browser)
    browser.get(pages[name].as_uri())
    assert "yoctovirt" in browser.title
    assert browser.find_element("id", "result").is_displayed()
    assert outcomes(browser) == verdicts(pages[name])
    assert browser.get_log("browser") == []
    assert [url for url in requested(browser) if url != "data:,"] == [pages[name].as_uri()]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("green", "passed"),
        ("red", "failed"),
        ("boot-failed", "error"),
        ("interrupted", "interrupted"),
    ],
)
def test_the_result_is_the_first_thing_to_be_seen(
    browser: Browser, pages: dict[str, Path], name: str, word: str
) -> None:
    browser.get(pages[name].as_uri())
    result = browser.find_element("id", "result")
    assert result.text == word
    assert result.location["y"] < 100
    assert browser.title.startswith(f"{word}: reference")


def test_what_failed_is_shown_without_a_click(browser: Browser, pages: dict[str, Path]) -> None:
    browser.get(pages["red"].as_uri())
    card = browser.find_element("id", "check-docker--daemon")
    for text in (
        "failed",
        "docker::daemon",
        "the Docker daemon does not answer",
        "$ docker info",
        "exit status 1",
        "<b>Cannot connect</b> to the Docker daemon",
    ):
        assert text in card.text
    assert card.location["y"] < browser.find_element("id", "phases").location["y"]


@pytest.mark.parametrize("kind", ["browser", "plain_browser"])
def test_details_can_be_opened(
    request: pytest.FixtureRequest, pages: dict[str, Path], kind: str
) -> None:
    browser = request.getfixturevalue(kind)
    browser.get(pages["green"].as_uri())
    resize(browser, 1200)
    row = browser.find_element("id", "check-base--kernel")
    assert "uname -sr" not in row.text
    row.find_element("tag name", "summary").click()
    assert "$ uname -sr" in row.text
    assert "Linux 6.1.0-56-cloud-amd64" in row.text
    log = browser.find_elements("css selector", "details.log")[-1]
    assert "Started sshd" not in log.text
    log.find_element("tag name", "summary").click()
    assert "Started sshd" in log.text


def test_links_lead_to_what_they_name(browser: Browser, pages: dict[str, Path]) -> None:
    browser.get(pages["red"].as_uri())
    resize(browser, 1200)
    row = browser.find_element("css selector", '[data-check="docker::run"]')
    row.find_element("tag name", "a").click()
    assert browser.current_url.endswith("#check-docker--run")
    anchors = browser.find_elements("css selector", 'a[href^="#"]')
    assert len(anchors) > 5
    for anchor in anchors:
        name = anchor.get_attribute("href").partition("#")[2]
        assert browser.find_element("id", name).is_displayed()


@pytest.mark.parametrize("name", list(SAMPLES))
def test_it_works_without_javascript(
    plain_browser: Browser, pages: dict[str, Path], tmp_path: Path, name: str
) -> None:
    # First that it is switched off: a script of this page would change its title.
    probe = tmp_path / "probe.html"
    probe.write_text("<title>off</title><script>document.title = 'on'</script>")
    plain_browser.get(probe.as_uri())
    assert plain_browser.title == "off"
    plain_browser.get(pages[name].as_uri())
    assert outcomes(plain_browser) == verdicts(pages[name])
    assert plain_browser.get_log("browser") == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", list(SAMPLES))
def test_nothing_is_wider_than_the_window(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    resize(browser, width)
    browser.get(pages[name].as_uri())
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    seen, wide = browser.execute_script(
        "const root = document.documentElement;"
        "return [root.clientWidth, [...document.querySelectorAll('body *')]"
        ".filter(e => e.getBoundingClientRect().right > root.clientWidth + 0.5)"
        ".map(e => e.outerHTML.slice(0, 120))]"
    )
    assert width - 20 <= seen <= width
    assert wide == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= seen


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [
        *((name, "light", 1200) for name in SAMPLES),
        ("red", "dark", 390),
        ("pair", "light", 390),
        ("sbom", "dark", 1200),
    ],
)
def test_axe_finds_no_barrier(
    browser: Browser, pages: dict[str, Path], axe: str, name: str, scheme: str, width: int
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        resize(browser, width)
        browser.get(pages[name].as_uri())
        assert barriers(browser, axe) == {}
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_axe_would_find_them(browser: Browser, pages: dict[str, Path], axe: str) -> None:
    browser.get(pages["red"].as_uri())
    browser.execute_script(
        "document.documentElement.removeAttribute('lang');"
        "document.querySelector('.facts').style.color = '#ddd';"
        "document.getElementById('f-suite').closest('label').replaceWith("
        "document.getElementById('f-suite'))"
    )
    assert {"html-has-lang", "color-contrast", "select-name"} <= barriers(browser, axe).keys()


@pytest.mark.parametrize("kind", ["browser", "plain_browser"])
def test_filters_leave_what_was_asked_for(
    request: pytest.FixtureRequest, pages: dict[str, Path], kind: str
) -> None:
    browser = request.getfixturevalue(kind)
    browser.get(pages["pair"].as_uri())
    resize(browser, 1200)
    every = list(verdicts(pages["pair"]))
    assert sorted(rows(browser)) == sorted(every)
    browser.find_element("id", "f-passed").click()
    assert sorted(rows(browser)) == [samples.FAILED, samples.BROKEN]
    browser.find_element("id", "f-error").click()
    assert rows(browser) == [samples.FAILED]
    for name in ("f-error", "f-passed"):
        browser.find_element("id", name).click()
    Select(browser.find_element("id", "f-suite")).select_by_visible_text("base")
    assert sorted(rows(browser)) == ["base::clock", samples.PASSED]
    Select(browser.find_element("id", "f-suite")).select_by_visible_text("all")
    Select(browser.find_element("id", "f-node")).select_by_visible_text("compute")
    assert sorted(rows(browser)) == [samples.FAILED, samples.BROKEN]
    Select(browser.find_element("id", "f-node")).select_by_visible_text("reference")
    assert sorted(rows(browser)) == [samples.PASSED, samples.BROKEN]


def test_words_are_searched_for_and_what_is_left_is_counted(
    browser: Browser, plain_browser: Browser, pages: dict[str, Path]
) -> None:
    plain_browser.get(pages["red"].as_uri())
    assert not plain_browser.find_element("id", "f-text").is_displayed()
    browser.get(pages["red"].as_uri())
    search = browser.find_element("id", "f-text")
    told = browser.find_element("id", "f-count")
    assert told.text == "5 of 5 shown"
    search.send_keys("Daemon answers")
    assert rows(browser) == [samples.FAILED]
    assert told.text == "1 of 5 shown"
    heads = browser.find_elements("css selector", "#verdicts th.suite")
    assert [head.text.split()[0] for head in heads if head.is_displayed()] == ["docker"]
    browser.find_element("id", "f-failed").click()
    assert told.text == "0 of 5 shown"
    search.clear()
    browser.find_element("id", "f-failed").click()
    assert len(rows(browser)) == 5


@pytest.mark.parametrize("kind", ["browser", "plain_browser"])
def test_the_boot_of_each_node_is_a_line(
    request: pytest.FixtureRequest, pages: dict[str, Path], kind: str
) -> None:
    browser = request.getfixturevalue(kind)
    resize(browser, 1200)
    browser.get(pages["pair"].as_uri())
    lines = {
        lane.get_attribute("data-node"): [
            bar.rect for bar in lane.find_elements("css selector", "i")
        ]
        for lane in browser.find_elements("css selector", "#bootline [data-node]")
    }
    assert {name: len(bars) for name, bars in lines.items()} == {"reference": 2, "compute": 2}
    ends = {name: bars[-1]["x"] + bars[-1]["width"] - bars[0]["x"] for name, bars in lines.items()}
    assert ends["reference"] / ends["compute"] == pytest.approx(59.3 / 2.25, rel=0.1)
    assert "44.5 s" in browser.find_element("id", "boot-steps").text


def test_a_page_of_2000_checks_can_be_used(browser: Browser, tmp_path: Path) -> None:
    page = write_html(samples.big_run(tmp_path, console=1_000_000))
    browser.get(page.as_uri())
    began = time.monotonic()
    browser.find_element("id", "f-passed").click()
    browser.find_element("id", "f-text").send_keys("1950")
    shown = browser.execute_script(
        "return [...document.querySelectorAll('#verdicts tr[data-check]')]"
        ".filter(row => row.offsetParent !== null).map(row => row.dataset.check)"
    )
    assert shown == ["suite0::c1950"]
    assert time.monotonic() - began < 20
    card = browser.find_element("id", "check-suite0--c1950")
    for words in ("Expected", "Number 1950 does", "assert 1950 == 0", "the reason of 1950"):
        assert words in card.text


@pytest.mark.parametrize("width", WIDTHS)
def test_the_time_line_shows_each_task_where_it_ran(
    browser: Browser, pages: dict[str, Path], width: int
) -> None:
    resize(browser, width)
    browser.get(pages["built"].as_uri())
    line = browser.find_element("id", "timeline")
    bars = line.find_elements("css selector", ".lane > i")
    assert len(bars) > 20
    box = line.rect
    for bar in bars:
        rect = bar.rect
        assert rect["width"] > 0
        assert box["x"] <= rect["x"] <= rect["x"] + rect["width"] <= box["x"] + box["width"] + 1
    (rootfs,) = [bar for bar in bars if "do_rootfs" in bar.get_attribute("title")]
    assert rootfs.rect["width"] > 0.3 * box["width"], "it took most of the time"
    assert rootfs.text.endswith("do_rootfs") or width < 500
    lanes = {bar.rect["y"] for bar in bars}
    assert len(lanes) == 2, "two threads"
    assert "do_rootfs" in browser.find_element("id", "held").text


@pytest.mark.parametrize("width", WIDTHS)
def test_long_words_do_not_widen_the_page(browser: Browser, tmp_path: Path, width: int) -> None:
    folder = samples.red_run(tmp_path)
    long = "x" * 400
    checks = samples.checks(red=True)
    for check in checks:
        check.update(id=f"base::{check['id']}{long}", title=long, message=long, detail=f"in {long}")
    samples.write_rows(folder, [samples.command_row(checks[2]["id"], long, 0, long)])
    error = {"class": "BootError", "message": long, "hint": long}
    left = [{"suite": long, "reason": long, "promised": True}]
    samples.edit(folder, checks=checks, command=long, role=long, error=error, not_run=left)
    resize(browser, width)
    browser.get(write_html(folder).as_uri())
    sizes = browser.execute_script(
        "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
    )
    assert sizes[0] <= sizes[1]


def test_what_a_node_printed_is_text_to_the_browser(browser: Browser, tmp_path: Path) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        evil = (
            f"</pre><img src={address}/img><script>document.title = 'taken'</script>"
            f"<link rel=stylesheet href={address}/css>\" onclick='alert(1)'"
        )
        folder = samples.red_run(tmp_path)
        checks = samples.checks(red=True)
        for check in checks:
            check.update(title=evil, message=evil, detail=evil)
        samples.write_rows(folder, [samples.command_row(samples.FAILED, evil, 1, evil)])
        (folder / "console-reference.log").write_text(evil)
        samples.edit(folder, checks=checks, command=evil)
        browser.get_log("browser")
        browser.get(write_html(folder).as_uri())
        assert browser.title.startswith("failed: reference")
        assert evil in browser.find_element("id", "check-docker--daemon").text
        assert browser.get_log("browser") == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []


def test_the_picture_of_a_check_is_seen(browser: Browser, axe: str, tmp_path: Path) -> None:
    """Of one that failed at once, of one that passed when its row is opened; by its page alone."""
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    resize(browser, 1200)
    (folder / "attached").mkdir()
    for check in checks:
        if check["id"] in (samples.PASSED, samples.FAILED):
            check["attached"] = [f"attached/{check['suite']}.png"]
            assert browser.save_screenshot(str(folder / check["attached"][0]))
    samples.edit(folder, checks=checks)
    page = write_html(folder)
    shutil.rmtree(folder / "attached")
    browser.get_log("browser")
    browser.get(page.as_uri())
    failed, passed = (
        browser.find_element("css selector", f"img[alt*='{name}']")
        for name in (samples.FAILED, samples.PASSED)
    )
    assert (failed.is_displayed(), passed.is_displayed()) == (True, False)
    row = browser.find_element("css selector", f"tr[data-check='{samples.PASSED}'] summary")
    row.click()
    inner = browser.find_element(
        "css selector", f"tr[data-check='{samples.PASSED}'] td details details"
    )
    assert not passed.is_displayed()
    inner.find_element("css selector", "summary").click()
    assert passed.is_displayed()
    for picture in (failed, passed):
        browser.execute_script("arguments[0].scrollIntoView()", picture)
        wide = browser.execute_async_script(
            "arguments[0].decode().then(() => arguments[1](arguments[0].naturalWidth))", picture
        )
        assert wide == 1200
        assert 300 < picture.rect["width"] < 1152, "it is scaled to its place"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert barriers(browser, axe) == {}

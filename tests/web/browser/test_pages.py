"""The other pages in a browser, and what holds for all of them."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.web.browser.conftest import PHONE, Console, make_console, row_of
from tests.web.demo_host import HOSTILE, Demo
from web.server import WebServer

pytestmark = pytest.mark.browser
PAGES = ("/", "/tasks/{billing}", "/logs", "/alerts", "/query?expr=up", "/status")


def test_alerts_show_what_fires_with_a_way_on(console: Console) -> None:
    """The most urgent first, rules with their errors below."""
    page = console.open("/alerts")
    expect(page.locator(".alert-card")).to_have_count(4)

    expect(page.locator(".alert-card").first).to_contain_text("TaskCrashLoop")
    expect(page.locator(".alert-card").last).to_contain_text("pending")
    expect(page.locator("#rules")).to_contain_text("parse error: unexpected end of input")
    expect(page.locator("#alert-badge")).to_have_text("3")
    page.locator(".alert-card").first.get_by_role("link", name="Runbook").click()
    expect(page.get_by_role("heading", name="TaskCrashLoop")).to_be_visible()
    page.go_back()
    page.locator(".alert-card").first.get_by_role("link", name="report-job").click()
    expect(page.get_by_role("heading", name="report-job", exact=True)).to_be_visible()


def test_status_names_what_was_found_and_what_is_wrong(console: Console) -> None:
    """Problems stand on top."""
    page = console.open("/status")

    expect(page.get_by_role("alert").first).to_contain_text("refuses the password")
    expect(page.get_by_role("alert").last).to_contain_text("rule TargetDown")
    expect(page.locator("#status")).to_contain_text("Docker 20.10: 9 containers, 3 ended")
    expect(page.locator("#status")).to_contain_text("unable to authenticate user")
    expect(page.locator("#status")).to_contain_text("the answer is HTML, no metrics")


def test_text_from_tasks_is_never_markup(console: Console) -> None:
    """Names, images, log lines, fields and annotations that hold tags."""
    page = console.open("/")
    expect(row_of(page, HOSTILE)).to_be_visible()
    row_of(page, HOSTILE).click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    line = page.locator(".log-row").first
    expect(line).to_contain_text("</div><script>")
    line.click()
    expect(page.locator(".log-fields")).to_contain_text(HOSTILE)
    page = console.open("/alerts")
    expect(page.locator(".alert-card").filter(has_text=HOSTILE)).to_have_count(1)

    assert page.locator("img[src='x'], main script").count() == 0
    assert page.title() == "Alerts · Taskscope"


def test_no_inline_script_runs(console: Console) -> None:
    """The policy holds in the browser, not only in the header."""
    page = console.open("/status")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.ran = true'}))"
    )

    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in console.errors)
    console.errors.clear()


def test_theme_is_kept(console: Console) -> None:
    """The toggle goes auto, light, dark; a reload keeps it."""
    page = console.open("/")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    toggle = page.locator("#theme-toggle")
    toggle.click()
    toggle.click()
    expect(toggle).to_have_attribute("aria-label", "Colour theme: dark")
    dark = page.evaluate(background)
    page.reload()

    assert light != dark
    assert page.evaluate(background) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_phone_needs_no_sideways_scrolling(
    browser: Browser, server: WebServer, host: Demo, path: str, scheme: Any
) -> None:
    """390 pixels, and nothing goes wrong in either theme."""
    console = make_console(browser, server, host, viewport=PHONE, color_scheme=scheme)
    page = console.open(path)
    page.wait_for_load_state("networkidle") if path == "/status" else page.wait_for_timeout(600)
    widths = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    page.context.close()

    assert widths[0] <= widths[1] == PHONE["width"]
    assert console.errors == []


@pytest.mark.parametrize("path", PAGES)
def test_every_control_has_a_name(console: Console, path: str) -> None:
    """Buttons, links and inputs say what they are to somebody who cannot see them."""
    page = console.open(path)
    page.wait_for_timeout(600)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, textarea, summary")]
          .filter((e) => e.checkVisibility())
          .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.title))
          .map((e) => e.outerHTML.slice(0, 120))"""
    )

    assert nameless == []


def test_api_gives_what_the_page_shows(server: WebServer, browser: Browser, host: Demo) -> None:
    """Whatever the console shows can be had as JSON."""
    page = make_console(browser, server, host).open("/api/tasks")
    shown = json.loads(page.locator("pre").inner_text())

    assert {task["identity"]["task_name"] for task in shown} == set(host.tasks)
    page.context.close()


def test_many_problems_do_not_hide_the_rest_of_the_status(console: Console, host: Demo) -> None:
    """Five are shown, the others fold out."""
    page = console.page
    status = {**host.status(), "problems": [f"problem number {i}" for i in range(40)]}
    page.route("**/api/status", lambda route: route.fulfill(json=status))
    console.open("/status")

    expect(page.get_by_text("problem number 4", exact=True)).to_be_visible()
    expect(page.get_by_text("problem number 5", exact=True)).to_be_hidden()
    expect(page.get_by_text("What Taskscope found")).to_be_in_viewport()
    page.get_by_text("more problems").click()
    expect(page.get_by_text("problem number 39", exact=True)).to_be_visible()


def test_page_whose_scripts_do_not_come_says_so(
    browser: Browser, server: WebServer, host: Demo
) -> None:
    """It is not left empty without a word."""
    console = make_console(browser, server, host)
    console.page.route("**/lib/logview.js", lambda route: route.abort())
    page = console.open("/logs")
    expect(page.get_by_text("A part of this page did not load")).to_be_visible()
    page.unroute("**/lib/logview.js")
    page.get_by_role("link", name="Load it again").click()

    expect(page.get_by_label("Search logs")).to_be_visible()
    expect(page.get_by_text("A part of this page did not load")).to_be_hidden()
    page.context.close()

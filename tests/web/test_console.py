"""The console in a real Chromium, over the made-up host."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from prometheus_client import CollectorRegistry

from model.task import TaskState
from tests.fakes.tasks import FakeTaskSource
from tests.web.conftest import bare_parts, missing
from tests.web.demo_parts import HOSTILE, Demo, make_demo
from web.app import create_app
from web.server import WebServer

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# said when an interface of this machine comes or goes, as each container's does
NOT_OURS = "ERR_NETWORK_CHANGED"
VENDOR = Path(__file__).parents[2] / "web/static/vendor/uplot/uPlot.esm.js"
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PAGES = ("/", "/tasks/{billing}", "/logs", "/alerts", "/query?expr=up", "/status")


@pytest.fixture(scope="module")
def host() -> Demo:
    """Return a host of this module's own, which the tests change."""
    return make_demo()


@pytest.fixture(scope="module")
def server(host: Demo) -> Iterator[WebServer]:
    """Serve it."""
    registry = CollectorRegistry()
    served = WebServer(create_app(host.parts(registry), registry), "127.0.0.1", 0)
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once; it fails where the console was not built."""
    if CHROMIUM is None:
        missing("Chromium")
    assert VENDOR.exists(), "run: python web/build.py"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Console:
    """A page and what went wrong in it."""

    page: Page
    url: str
    host: Demo
    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + self.fill(path))
        return self.page

    def note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and NOT_OURS not in text:
            self.errors.append(text)

    def fill(self, path: str) -> str:
        return re.sub(r"\{([\w-]+)\}", lambda m: self.id(m[1]), path)

    def id(self, name: str) -> str:
        return self.host.tasks[name].identity.task_id


def make_console(browser: Browser, server: WebServer, host: Demo, **options: Any) -> Console:
    """Open an empty page that notes requests and errors."""
    context = browser.new_context(viewport=options.pop("viewport", DESKTOP), **options)
    context.set_default_timeout(10_000)
    console = Console(context.new_page(), server.url, host)
    page = console.page
    page.on("request", lambda r: console.hosts.add(urlsplit(r.url).netloc))
    page.on("pageerror", lambda e: console.errors.append(str(e)))
    page.on("console", lambda m: console.note(m.type, m.text))
    return console


@pytest.fixture
def console(browser: Browser, server: WebServer, host: Demo) -> Iterator[Console]:
    """Return a desktop page; nothing may go wrong in it, and nothing may leave the machine."""
    made = make_console(browser, server, host)
    yield made
    title = made.page.title()
    made.page.context.close()

    assert made.errors == []
    assert made.hosts <= {urlsplit(server.url).netloc}
    assert "owned" not in title


def row_of(page: Page, name: str) -> Locator:
    """Return the row of a task."""
    return page.locator("tr[data-id]").filter(has=page.get_by_role("link", name=name, exact=True))


def test_list_shows_every_task(console: Console) -> None:
    """State, health, how it ended, CPU and memory; trouble first, ended ones last."""
    page = console.open("/")
    expect(page.locator("tr[data-id]")).to_have_count(12)

    billing = row_of(page, "billing")
    expect(billing).to_contain_text("running")
    expect(billing).to_contain_text("unhealthy")
    expect(billing.locator(".col-cpu")).to_have_text(re.compile(r"0\.\d+"))
    expect(billing.locator(".col-memory")).to_contain_text("MiB")
    expect(billing.locator(".col-cpu .spark-line")).to_have_attribute("d", re.compile("^M.*L"))
    expect(row_of(page, "leaky")).to_contain_text("last: out of memory, exit 137")
    expect(row_of(page, "import-7")).to_contain_text("failed")
    assert set(page.locator("tr[data-id] a").all_inner_texts()[:3]) == {
        "billing",
        "leaky",
        "report-job",
    }
    expect(page.locator("tr[data-id]").last).to_contain_text("finished")


def test_list_filters_sorts_and_groups_and_the_address_keeps_it(console: Console) -> None:
    """What one sees can be sent to somebody."""
    page = console.open("/")
    page.keyboard.press("/")
    page.keyboard.type("shop node-1")
    expect(page.locator("tr[data-id]")).to_have_count(2)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Memory").click()
    page.get_by_label("Group by app").check()
    expect(page.locator("tr.group")).to_contain_text("2 of 2 tasks running")
    page.reload()

    expect(page.locator("tr[data-id]")).to_have_count(2)
    expect(page.locator("tr.group")).to_have_count(1)
    expect(page.get_by_role("columnheader", name="Memory")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_label("Filter tasks").fill("nothing like this")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("tr[data-id]")).to_have_count(12)
    page.get_by_role("button", name="Ended").click()
    expect(page.locator("tr[data-id]")).to_have_count(3)


def test_list_follows_the_host_without_building_rows_anew(console: Console, host: Demo) -> None:
    """A task that appears is added; the rows that are there stay the same elements."""
    page = console.open("/")
    row_of(page, "chatty").evaluate("row => { row.dataset.mark = 'same'; }")
    fresh = host.add("fresh", "fresh-1", state=TaskState.RUNNING)
    expect(row_of(page, "fresh-1")).to_be_visible(timeout=9000)

    expect(row_of(page, "chatty")).to_have_attribute("data-mark", "same")
    del host.tasks["fresh-1"]
    host.source.set(*host.tasks.values())
    expect(row_of(page, fresh.identity.task_name)).to_have_count(0, timeout=9000)


def test_keyboard_walks_opens_and_goes(console: Console) -> None:
    """j, k, Enter, g and ?."""
    page = console.open("/")
    expect(page.locator("tr[data-id]")).to_have_count(12)
    for key in "jjk":
        page.keyboard.press(key)
    current = page.locator("tr.current a")
    expect(current).to_have_count(1)
    name = current.inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/alerts")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Filter or search")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**/logs*")


def test_task_page_tells_who_how_and_why(console: Console) -> None:
    """Identity, runs, health with its history, alerts and graphs."""
    page = console.open("/tasks/{billing}")
    expect(page.get_by_role("heading", name="billing", exact=True)).to_be_visible()
    expect(page.locator("#task-alerts")).to_contain_text("TaskUnhealthy")
    expect(page.locator("#health")).to_contain_text("14 failures in a row")
    expect(page.locator("#health .strip i")).to_have_count(60)
    page.get_by_text("last output").click()
    expect(page.locator("#health pre")).to_contain_text("database pool exhausted")
    expect(page.locator("#identity")).to_contain_text(console.id("billing"))
    expect(page.locator("#charts canvas")).to_have_count(4)
    expect(page.get_by_role("button", name="limit 256 MiB")).to_be_visible()


def test_ended_task_says_how_it_ended_and_leads_to_its_last_lines(console: Console) -> None:
    """The first question about a task that is gone."""
    page = console.open("/tasks/{import-7}")
    expect(page.locator("#task-head")).to_contain_text(
        "out of memory, exit 137; its limit is 128 MiB"
    )
    page.get_by_role("button", name="Its last log lines").click()

    expect(page.locator(".log-row").last).to_contain_text("Killed")
    expect(page.locator(".log-mark")).to_be_visible()


def test_zooming_a_graph_changes_the_range_of_all(console: Console) -> None:
    """Dragging over one graph; "Zoom out" leads back."""
    page = console.open("/tasks/{billing}")
    plot = page.locator("#charts .u-over").first
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 50, steps=5)
    page.mouse.up()
    page.wait_for_url("**from=*to=*")
    page.get_by_role("button", name="Zoom out").click()
    page.wait_for_url("**range=1h*")

    expect(page.get_by_role("button", name="Last 1h")).to_have_attribute("aria-pressed", "true")


def test_tail_shows_new_lines_pauses_and_goes_on_without_a_gap(
    console: Console, host: Demo
) -> None:
    """What was written while it was paused is there after resuming."""
    page = console.open("/tasks/{shop-1}")
    expect(page.locator(".log-status")).to_have_text("Live")
    host.log("shop-1", time.time_ns() // 1_000_000, "tail marker one", "warn")
    row = page.locator(".log-row").filter(has_text="tail marker one")
    expect(row).to_have_attribute("data-level", "warn")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".log-status")).to_have_text("Paused")
    host.log("shop-1", time.time_ns() // 1_000_000, "tail marker two", "info")
    host.log("shop-2", time.time_ns() // 1_000_000, "tail marker of another task", "info")
    page.get_by_role("button", name="Resume").click()

    expect(page.locator(".log-row").filter(has_text="tail marker two")).to_have_count(1)
    expect(page.locator(".log-row").filter(has_text="tail marker one")).to_have_count(1)
    expect(page.locator(".log-row").filter(has_text="another task")).to_have_count(0)


def test_tail_stays_where_somebody_reads(console: Console, host: Demo) -> None:
    """Scrolled up, new lines are counted and do not move the page."""
    page = console.open("/tasks/{shop-1}")
    expect(page.locator(".log-status")).to_have_text("Live")
    log = page.locator(".log-list")
    log.evaluate("list => { list.scrollTop = 400; }")
    page.wait_for_timeout(100)
    top = log.evaluate("list => list.scrollTop")
    host.log("shop-1", time.time_ns() // 1_000_000, "below the fold", "info")
    more = page.get_by_role("button", name=re.compile("new line"))
    expect(more).to_be_visible()

    assert log.evaluate("list => list.scrollTop") == top
    more.click()
    expect(page.locator(".log-row").last).to_contain_text("below the fold")
    expect(more).to_be_hidden()


def test_logs_are_searched_and_the_address_keeps_it(console: Console) -> None:
    """Query, level and range; a field leads to a narrower query."""
    page = console.open("/logs")
    expect(page.locator(".log-row").first).to_be_attached()
    page.get_by_label("Search logs").fill("pool")
    page.get_by_role("button", name="Warn +").click()
    expect(page.locator(".log-row").first).to_contain_text("pool: waiting")
    page.reload()
    expect(page.get_by_label("Search logs")).to_have_value("pool")
    rows = page.locator(".log-row")
    expect(rows.first).to_contain_text("pool: waiting")
    assert set(rows.evaluate_all("all => all.map(r => r.dataset.level)")) == {"warn"}
    rows.last.click()
    page.get_by_role("button", name="Only stream:stdout").click()

    expect(page.get_by_label("Search logs")).to_have_value("(pool) AND stream:stdout")
    expect(page.locator(".histogram")).to_contain_text("warn")


def test_wrong_log_query_is_told_where_it_is_wrong(
    browser: Browser, server: WebServer, host: Demo
) -> None:
    """The server's own sentence."""
    page = make_console(browser, server, host).open("/logs?q=levle:error")
    expect(page.get_by_role("alert")).to_contain_text("did you mean level")
    page.context.close()


def test_alerts_show_what_fires_with_a_way_on(console: Console) -> None:
    """The most urgent first, rules with their errors below."""
    page = console.open("/alerts")
    expect(page.locator(".alert-card")).to_have_count(4)

    expect(page.locator(".alert-card").first).to_contain_text("TaskCrashLoop")
    expect(page.locator(".alert-card").last).to_contain_text("pending")
    expect(page.locator("#rules")).to_contain_text("parse error: unexpected end of input")
    expect(page.locator("#alert-badge")).to_have_text("3")
    page.locator(".alert-card").first.get_by_role("link", name="report-job").click()
    expect(page.get_by_role("heading", name="report-job", exact=True)).to_be_visible()


def test_query_draws_and_lists(console: Console) -> None:
    """Names are completed, a graph is drawn, a table listed."""
    page = console.open("/query")
    page.locator("#filter").press_sequentially("container_memory")
    expect(page.get_by_role("option").first).to_have_text("container_memory_working_set_bytes")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result canvas")).to_have_count(1)
    expect(page.locator(".result-head")).to_contain_text("11 series")
    page.get_by_role("button", name="Table").click()

    expect(page.locator(".result-table tbody tr")).to_have_count(8)


def test_status_names_what_was_found_and_what_is_wrong(console: Console) -> None:
    """Problems stand on top."""
    page = console.open("/status")

    expect(page.get_by_role("alert")).to_contain_text("refuses the password")
    expect(page.locator("#status")).to_contain_text("Docker 20.10 with 9 containers")
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


def test_empty_host_says_what_to_do_next(browser: Browser, host: Demo) -> None:
    """A newcomer without a container is not left with an empty table."""
    parts = bare_parts(tasks=FakeTaskSource())
    server = WebServer(create_app(parts, CollectorRegistry()), "127.0.0.1", 0)
    server.start()
    page = make_console(browser, server, host).open("/")
    expect(page.locator("#tasks")).to_contain_text("taskscope demo")
    page.context.close()
    server.stop()


def test_server_that_goes_away_is_said(browser: Browser, host: Demo) -> None:
    """The list stays, and the header says that it is old."""
    registry = CollectorRegistry()
    server = WebServer(create_app(host.parts(registry), registry), "127.0.0.1", 0)
    server.start()
    page = make_console(browser, server, host).open("/")
    expect(page.locator("tr[data-id]")).to_have_count(12)
    server.stop()

    expect(page.locator("#connection")).to_contain_text("No answer", timeout=12_000)
    expect(page.locator("tr[data-id]")).to_have_count(12)
    page.context.close()


def test_api_gives_what_the_page_shows(server: WebServer, browser: Browser, host: Demo) -> None:
    """Whatever the console shows can be had as JSON."""
    page = make_console(browser, server, host).open("/api/tasks")
    shown = json.loads(page.locator("pre").inner_text())

    assert {task["identity"]["task_name"] for task in shown} == set(host.tasks)
    page.context.close()

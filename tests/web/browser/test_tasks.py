"""The task list and the task page in a browser."""

import re

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, expect
from prometheus_client import CollectorRegistry

from model.labels import Labels
from model.task import TaskState
from tests.fakes.tasks import FakeTaskSource
from tests.web.browser.conftest import Console, make_console, row_of
from tests.web.conftest import bare_parts
from tests.web.demo_host import Demo
from web.app import create_app
from web.server import WebServer

pytestmark = pytest.mark.browser


def test_list_shows_every_task(console: Console) -> None:
    """State, health, how it ended, CPU and memory; trouble first, ended ones last."""
    page = console.open("/")
    expect(page.locator("tr[data-id]")).to_have_count(12)

    billing = row_of(page, "billing")
    expect(billing).to_contain_text("running")
    expect(billing).to_contain_text("unhealthy")
    expect(billing.locator(".col-health .sub")).to_contain_text("database pool exhausted")
    expect(billing.locator(".col-cpu")).to_have_text(re.compile(r"0\.\d+"))
    expect(billing.locator(".col-memory")).to_contain_text("MiB")
    expect(billing.locator(".col-cpu .spark-line")).to_have_attribute("d", re.compile("^M.*L"))
    expect(row_of(page, "leaky")).to_contain_text("last: out of memory, exit 137")
    expect(row_of(page, "import-7")).to_contain_text("failed")
    first = page.locator("tr[data-id] a").all_inner_texts()[:2]
    assert first == ["billing", "report-job"]
    expect(page.locator("tr[data-id]").last).to_have_class(re.compile("ended"))


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
    expect(page.locator("#task-head .notice")).to_contain_text(
        "Check http fails (14 times in a row)"
    )
    expect(page.locator("#task-head .notice")).to_contain_text("database pool exhausted")
    expect(page.locator("#task-alerts")).to_contain_text("TaskUnhealthy")
    expect(page.locator("#health")).to_contain_text("14 failures in a row")
    expect(page.locator("#health .strip i")).to_have_count(60)
    page.get_by_text("last output").click()
    expect(page.locator("#health pre")).to_contain_text("database pool exhausted")
    expect(page.locator("#identity")).to_contain_text(console.id("billing"))
    expect(page.locator("#charts canvas")).to_have_count(4)
    expect(page.get_by_role("button", name="limit 256 MiB")).to_be_visible()


def test_task_page_shows_alerts_of_its_app_and_its_last_error(console: Console, host: Demo) -> None:
    """A crash loop is an alert of the app, seen across restarts; the line that names the error stands first."""
    of_app = next(a for a in host.alerts if a.labels.get("alertname") == "TaskCrashLoop")
    labels = {n: of_app.labels.get(n, "") for n in ("alertname", "severity", "namespace", "app")}
    host.alerts[host.alerts.index(of_app)] = replace(of_app, labels=Labels.of(labels))
    try:
        page = console.open("/tasks/{report-job}")

        expect(page.locator("#task-alerts")).to_contain_text("TaskCrashLoop")
        expect(page.locator("#task-head .notice code")).to_have_text(
            "ConnectionError: http://billing:8080/report: connection refused"
        )
        console.open("/tasks/{billing}")
        expect(page.locator("#task-alerts")).to_contain_text("TaskUnhealthy")
        expect(page.locator("#task-alerts")).not_to_contain_text("TaskCrashLoop")
    finally:
        host.alerts[[a.labels.get("alertname") for a in host.alerts].index("TaskCrashLoop")] = (
            of_app
        )


def test_graphs_of_an_ended_task_show_its_end(console: Console) -> None:
    """Not the last hour, in which it was not there."""
    page = console.open("/tasks/{import-7}")

    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()
    expect(page.locator("#charts canvas").first).to_be_visible()


@pytest.mark.parametrize(
    ("minutes", "on"),
    [(2, ["5m", "5m", "5m"]), (12, ["15m", "15m", "15m"]), (200, ["1h", "15m", "1h"])],
)
def test_ranges_begin_with_what_there_is(
    browser: Browser, host: Demo, minutes: int, on: list[str]
) -> None:
    """On a host that is observed since minutes no graph is nearly empty."""
    registry = CollectorRegistry()
    parts = replace(host.parts(registry), oldest_ms=lambda: host.now_ms - minutes * 60_000)
    server = WebServer(create_app(parts, registry), "127.0.0.1", 0)
    server.start()
    console = make_console(browser, server, host)
    try:
        for path, name in zip(("/query", "/logs", "/tasks/{billing}"), on, strict=True):
            button = console.open(path).get_by_role("button", name=f"Last {name}", exact=True)
            expect(button).to_have_attribute("aria-pressed", "true")
    finally:
        console.page.context.close()
        server.stop()


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


def test_a_task_nobody_knows_is_a_sentence(console: Console) -> None:
    """No empty graphs and no empty log; the way to its logs is there."""
    page = console.open("/tasks/gone")
    expect(page.locator("h1, h3").filter(has_text="not known any more")).to_be_visible()
    expect(page.get_by_role("link", name="Search its logs")).to_be_visible()
    expect(page.locator("#task-columns")).to_be_hidden()

    assert any("404" in error for error in console.errors)
    console.errors.clear()


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.0000502", "5.02e-5"), ("0.000502", "0.000502"), ("0.0123456", "0.0123"), ("0", "0"), ("1234567", "1,234,567")],
)  # fmt: skip
def test_numbers_have_the_digits_that_count(console: Console, value: str, text: str) -> None:
    """Three of them, and no row of zeros."""
    page = console.open("/")
    script = f"import('/static/js/lib/format.js').then((format) => format.rough({value}))"

    assert page.evaluate(script) == text

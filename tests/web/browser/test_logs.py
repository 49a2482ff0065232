"""Log search and the live tail in a browser."""

import re
import time

import pytest
from playwright.sync_api import Browser, expect
from prometheus_client import CollectorRegistry

from tests.web.browser.conftest import PHONE, Console, make_console
from tests.web.demo_host import Demo
from web.app import create_app
from web.server import WebServer

pytestmark = pytest.mark.browser


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
    # the lines of before come after the connection
    page.wait_for_function(
        "() => { const list = document.querySelector('.log-list'); return list.scrollHeight > list.clientHeight + 800; }"
    )
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
    """The server's own sentence, and the place in what was typed, whatever was added to it."""
    page = make_console(browser, server, host).open("/logs?query=pool levels:error&f=app:shop")
    expect(page.get_by_role("alert")).to_contain_text("At character 6: ")
    expect(page.get_by_role("alert").get_by_role("link")).to_have_attribute("href", "/docs/logs.md")
    expect(page.get_by_role("alert")).to_contain_text("did you mean level")
    expect(page.locator(".wrong-query mark")).to_have_text("levels:")
    page.get_by_label("Search logs").fill("(level:error")
    expect(page.get_by_role("alert")).to_contain_text("never closed")
    expect(page.locator(".wrong-query mark")).to_contain_text("(")
    page.context.close()


def test_tail_goes_on_after_a_restart(browser: Browser, host: Demo) -> None:
    """The browser comes back by itself, behind the last line it had."""

    def serve(port: int) -> WebServer:
        registry = CollectorRegistry()
        served = WebServer(create_app(host.parts(registry), registry), "127.0.0.1", port)
        served.start()
        return served

    server = serve(0)
    page = make_console(browser, server, host).open(
        "/tasks/" + host.tasks["chatty"].identity.task_id
    )
    status = page.locator(".log-status")
    expect(status).to_have_text("Live")
    host.log("chatty", time.time_ns() // 1_000_000, "before the restart")
    expect(page.locator(".log-row").last).to_contain_text("before the restart")
    port = server.port
    server.stop()
    expect(status).to_have_text("No stream; trying again")
    host.log("chatty", time.time_ns() // 1_000_000, "during the restart")
    server = serve(port)

    expect(status).to_have_text("Live", timeout=15_000)
    expect(page.locator(".log-row").last).to_contain_text("during the restart")
    expect(page.locator(".log-row").filter(has_text="before the restart")).to_have_count(1)
    page.context.close()
    server.stop()


def test_a_phone_sees_the_newest_lines(browser: Browser, server: WebServer, host: Demo) -> None:
    """Rows wrap there and get their height late; the end stays the end until somebody scrolls up."""
    console = make_console(browser, server, host, viewport=PHONE)
    page = console.open("/tasks/{report-job}")
    rows = page.locator(".log-list")
    expect(page.locator(".log-row").last).to_be_attached()
    rows.scroll_into_view_if_needed()
    below = """(list = document.querySelector(".log-list")) =>
        list.lastChild.getBoundingClientRect().bottom - list.getBoundingClientRect().bottom"""
    page.wait_for_function(f"() => ({below})() < 2")
    page.wait_for_timeout(500)
    assert rows.evaluate(below) < 2

    rows.evaluate("list => { list.scrollTop -= 400; }")
    page.wait_for_timeout(300)
    assert rows.evaluate(below) > 300
    page.context.close()

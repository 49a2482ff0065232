"""Reading logs in a browser: filters, context, columns, sharing, downloads, keys, and the ways in and out."""

import json
import re
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.web.browser.conftest import Console, make_console
from tests.web.demo_host import Demo
from web.server import WebServer

pytestmark = pytest.mark.browser

HOUR = "range=1h"


def levels(console: Console) -> set[str]:
    """Return the levels of the lines that are drawn."""
    rows = console.page.locator(".log-row")
    return set(rows.evaluate_all("all => all.map(row => row.dataset.level)"))


def test_facets_filter_by_a_click_and_say_how_many(console: Console) -> None:
    """A second value of the same field is an OR, a second click takes it away; the address keeps it."""
    page = console.open(f"/logs?{HOUR}")
    level = page.get_by_role("region", name="Level")
    level.get_by_role("button", name=re.compile(r"^warn")).click()
    expect(page.locator(".log-chips")).to_contain_text("level: warn")
    expect(page.locator(".log-row").first).to_have_attribute("data-level", "warn")
    assert levels(console) == {"warn"}
    # values of the same field can still be chosen
    level.get_by_role("button", name=re.compile(r"^error")).click()
    expect(page.locator(".log-chips")).to_contain_text("level: error")
    page.wait_for_function(
        "() => document.querySelector('.log-row[data-level=error]') && document.querySelector('.log-row[data-level=warn]')"
    )
    assert levels(console) <= {"warn", "error"}
    page.reload()
    expect(page.locator(".log-chips .chip")).to_have_count(2)
    expect(
        page.get_by_role("region", name="Level").get_by_role("button", pressed=True)
    ).to_have_count(2)
    page.locator(".log-chips .chip").first.click()
    page.locator(".log-chips .chip").first.click()
    expect(page.locator(".log-chips")).to_be_hidden()
    page.get_by_role("region", name="App").locator(".facet-entry").first.hover()
    page.get_by_label("Not app: shop").click()

    expect(page.locator(".log-chips")).to_contain_text("not app: shop")
    expect(page.locator(".log-task").filter(has_text="shop-1")).to_have_count(0)


def test_context_shows_what_the_task_said_around_a_line(console: Console) -> None:
    """Also what the search does not match, only of that task (L19)."""
    page = console.open(f"/logs?{HOUR}&query=app:billing level:error")
    row = page.locator(".log-row").last
    row.click()
    page.get_by_role("button", name="Context").click()
    dialog = page.get_by_role("dialog", name="Context")
    rows = dialog.locator(".log-row")
    expect(rows.first).to_be_visible()

    assert set(rows.evaluate_all("all => all.map(r => r.dataset.level)")) == {"warn", "error"}
    expect(dialog.locator(".log-row.target")).to_have_count(1)
    expect(dialog.locator(".log-row.target")).to_be_in_viewport()
    before = rows.count()
    dialog.get_by_role("button", name="20 earlier").click()
    expect(rows).to_have_count(before + 20)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_what_was_looked_for_stands_out(console: Console) -> None:
    """In the message, also where only a folded line has it."""
    page = console.open(f'/logs?{HOUR}&query="connection refused" NOT nothing')
    mark = page.locator(".log-row mark").last

    expect(mark).to_have_text("connection refused")
    expect(page.locator(".log-row").last).to_contain_text("⋮ raise ConnectionError")
    page.get_by_label("Search logs").fill("wait* 20")
    expect(page.locator(".log-row").last).to_contain_text("pool: waiting")
    assert page.locator(".log-row").last.locator("mark").all_inner_texts() == [
        "waiting",
        "20",
        "20",
    ]


def test_columns_wrapping_and_query_are_in_the_address(console: Console) -> None:
    """So that somebody else sees the same (share link)."""
    page = console.open(f"/logs?{HOUR}&query=GET")
    page.get_by_label("Columns", exact=True).click()
    page.get_by_role("checkbox", name="host").check()
    page.get_by_role("checkbox", name="task", exact=True).uncheck()
    page.keyboard.press("Escape")
    page.locator(".log-list").focus()
    page.keyboard.press("w")
    expect(page.locator(".log-list")).to_have_class(re.compile("no-wrap"))
    page.locator(".log-row").last.click()
    page.get_by_role("button", name="Column fields.path").click()
    expect(page.locator(".log-row .log-cell[title^='fields.path']").last).to_contain_text("/")
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["columns"] == ["time,level,host,fields.path"]
    assert asked["wrap"] == ["0"]
    page.reload()

    expect(page.locator(".log-row .log-cell[title^='host']").last).to_have_text("node-1")
    expect(page.locator(".log-row .log-task")).to_have_count(0)
    expect(page.locator(".log-list")).to_have_class(re.compile("no-wrap"))


def test_a_shared_link_holds_query_time_and_line(
    browser: Browser, server: WebServer, host: Demo
) -> None:
    """The time is fixed in it: tomorrow it shows the same lines."""
    console = make_console(browser, server, host, permissions=["clipboard-read", "clipboard-write"])
    page = console.open(f"/logs?{HOUR}&query=pool&level=2")
    page.get_by_label("Copy a link to these lines").click()
    expect(page.locator(".toast")).to_contain_text("Copied a link")
    lines = parse_qs(urlsplit(page.evaluate("navigator.clipboard.readText()")).query)
    assert lines["query"] == ["pool"]
    assert int(lines["to"][0]) - int(lines["from"][0]) in range(3_600_000, 3_603_000, 1000)
    row = page.locator(".log-row").nth(-5)
    ident = row.get_attribute("data-id")
    row.click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".toast").last).to_contain_text("this line")
    page.goto(page.evaluate("navigator.clipboard.readText()"))

    expect(page.locator(".log-row.target")).to_have_attribute("data-id", str(ident))
    expect(page.locator(".log-row.target")).to_be_in_viewport()
    expect(page.locator(".log-status")).to_have_text("At a time")
    page.context.close()


def test_lines_are_downloaded_as_ndjson_and_as_text(console: Console) -> None:
    """What matches in the time shown, with every field."""
    page = console.open(f"/logs?{HOUR}&query=app:billing level:error")
    expect(page.locator(".log-row").first).to_be_attached()
    for name, ending in (("NDJSON", ".ndjson"), ("Text", ".log")):
        page.get_by_label("Download", exact=True).click()
        with page.expect_download() as waiting:
            page.get_by_role("link", name=re.compile(name)).click()
        assert waiting.value.suggested_filename.endswith(ending)
        lines = waiting.value.path().read_text().splitlines()
        assert len(lines) >= 19
        assert all("could not get a connection" in line for line in lines)
        if ending == ".ndjson":
            assert {json.loads(line)["log.level"] for line in lines} == {"error"}


def test_bars_of_the_histogram_are_whole_seconds_and_a_click_zooms_to_one(console: Console) -> None:
    """Lines written once a second fill every bar alike, and a bar is never shorter."""
    page = console.page
    with page.expect_response(re.compile("/api/logs/histogram")) as answered:
        console.open("/logs?range=15m")
    edges = [int(edge) for edge in answered.value.json()["edges_ms"]]
    assert {edge % 10_000 for edge in edges} == {0}
    assert len(edges) in (90, 91)
    expect(page.locator(".histogram path").first).to_be_attached()
    box = page.locator(".histogram-plot").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 20)
    expect(page.locator(".log-status")).to_have_text("In a range")
    asked = parse_qs(urlsplit(page.url).query)

    assert int(asked["to"][0]) - int(asked["from"][0]) == 10_000


def test_one_error_among_thousands_of_lines_is_seen_in_the_histogram(console: Console) -> None:
    """Its bar is a pixel high at least."""
    page = console.page
    counts = {"debug": [9000, 10_000], "error": [0, 1]}
    page.route(
        "**/api/logs/histogram*",
        lambda route: route.fulfill(json={"edges_ms": [0, 1000], "counts": counts}),
    )
    console.open("/logs?range=5m")
    bars = page.locator(".histogram path")
    expect(bars).to_have_count(2)
    error, debug = (bars.nth(n).bounding_box() for n in range(2))
    assert error is not None
    assert debug is not None

    assert error["height"] >= 1
    assert 50 < debug["height"] < 64


def test_histogram_follows_a_range_chosen_while_it_is_asked(console: Console) -> None:
    """The answer to what was asked before is not kept until the next turn."""
    page = console.page
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/logs/histogram*", hold_the_first)
    with page.expect_request(re.compile("/api/logs/histogram")):
        console.open("/logs?range=5m")
    page.get_by_role("button", name="Last 1h").click()
    with page.expect_request(re.compile("/api/logs/histogram")) as asked:
        held[0].continue_()
    query = parse_qs(urlsplit(asked.value.url).query)

    assert int(query["end"][0]) - int(query["start"][0]) >= 3600


def test_histogram_zooms_and_the_lines_follow(console: Console) -> None:
    """Drag over it: only lines of that time; the facets too."""
    page = console.open(f"/logs?{HOUR}")
    plot = page.locator(".histogram-plot")
    expect(page.locator(".histogram path").first).to_be_attached()
    expect(page.locator(".log-row").first).to_be_attached()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.up()
    expect(page.locator(".log-status")).to_have_text("In a range")
    asked = parse_qs(urlsplit(page.url).query)
    start, end = int(asked["from"][0]), int(asked["to"][0])
    assert 850_000 < end - start < 950_000
    expect(page.locator(".log-count")).to_contain_text("lines")
    times = page.locator(".log-row time").evaluate_all(
        "all => all.map(t => Date.parse(t.dateTime))"
    )
    assert all(start <= at <= end for at in times)
    page.get_by_role("button", name="Zoom out").click()

    expect(page.locator(".log-status")).to_have_text("Live")


def test_the_keyboard_goes_through_lines(console: Console) -> None:
    """With k from the newest upwards, Enter opens, c shows context."""
    page = console.open(f"/logs?{HOUR}")
    expect(page.locator(".log-row").last).to_be_attached()
    newest = page.locator(".log-row").last.get_attribute("data-id")
    for _ in range(60):
        page.keyboard.press("k")
    expect(page.locator(".log-row.current")).to_be_in_viewport()
    assert page.locator(".log-row.current").get_attribute("data-id") != newest
    page.keyboard.press("Enter")
    expect(page.locator(".log-row.current .log-fields")).to_be_attached()
    page.keyboard.press("c")
    expect(page.get_by_role("dialog", name="Context")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+G")

    expect(page.locator(f".log-row[data-id='{newest}']")).to_be_in_viewport()


def test_ways_between_tasks_alerts_panels_and_their_logs(console: Console) -> None:
    """One click to the lines of the same task and time, and one back (L20)."""
    page = console.open("/alerts")
    card = page.locator(".alert-card").filter(has_text="TaskCrashLoop").first
    card.get_by_role("link", name="Logs around the start").click()
    page.wait_for_url("**/logs?*")
    task = console.id("report-job")
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["query"] == [f"task_id:{task}"]
    assert int(asked["to"][0]) - int(asked["from"][0]) in range(1_200_000, 1_202_000)
    expect(page.locator(".log-task").first).to_contain_text("report-job")
    page.get_by_role("link", name="The task at this time").first.click()
    page.wait_for_url(f"**/tasks/{task}?*")
    back = parse_qs(urlsplit(page.url).query)
    assert (back["from"], back["to"]) == (asked["from"], asked["to"])
    # from the graphs to the lines of their time
    page.get_by_role("link", name="Logs of this time").click()
    page.wait_for_url("**/logs?*")
    again = parse_qs(urlsplit(page.url).query)
    assert again["from"] == back["from"]
    assert task in again["query"][0]
    # and from a query's result
    console.open("/query?expr=container_memory_working_set_bytes&range=1h")
    page.get_by_role("link", name="Logs of this time").click()
    page.wait_for_url("**/logs?*")
    expect(page.locator(".log-row").first).to_be_attached()
    assert parse_qs(urlsplit(page.url).query)["query"][0].startswith("task_id:(")
    # several tasks: the graphs of their apps
    page.get_by_role("link", name=re.compile("this time")).first.wait_for()


def test_a_line_leads_to_its_task_at_its_time(console: Console, host: Demo) -> None:
    """The task's log opens there, with the line marked."""
    at_ms = time.time_ns() // 1_000_000 - 40_000
    host.log("shop-2", at_ms, "the one line to be found again", "warn")
    page = console.open("/logs?query=found")
    page.locator(".log-row").first.click()
    page.get_by_role("link", name="Task at this time", exact=True).click()
    page.wait_for_url("**/tasks/*")

    expect(page.locator(".log-row.target")).to_contain_text("the one line to be found again")

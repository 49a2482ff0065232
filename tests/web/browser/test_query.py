"""The query page: typing, running, looking at what came."""

import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.web.browser.conftest import PHONE, Console, make_console
from tests.web.demo_host import Demo
from web.server import WebServer

pytestmark = pytest.mark.browser
CPU = "sum by (app) (rate(container_cpu_usage_seconds_total[2m]))"


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
    heads = page.locator(".result-table th").all_inner_texts()
    assert "task_name" in heads
    assert "task_id" not in heads
    row = page.locator(".result-table tbody tr").filter(has_text="billing")
    expect(row).to_contain_text("MiB =")
    expect(row).to_have_attribute("title", re.compile(f'task_id="{console.id("billing")}"'))


def typed(page: Page, text: str, selector: str = "#filter") -> None:
    """Type into a query's input, letter by letter."""
    page.locator(selector).press_sequentially(text)


def offered(page: Page, *texts: str, at_least: bool = False) -> None:
    """Expect that just these are on offer, or these before others."""
    names = page.locator(".completions:visible li > span")
    if not at_least:
        expect(names).to_have_text(texts)
    for number, text in enumerate(texts):
        expect(names.nth(number)).to_have_text(text)


def test_a_whole_query_is_typed_with_the_keyboard_alone(console: Console) -> None:
    """Function, metric, label, value, range and grouping are each picked from the list."""
    page = console.open("/query")
    typed(page, "su")
    offered(page, "sum", "sum_over_time", at_least=True)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("sum_over_time")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    typed(page, "rat")
    offered(page, "rate", at_least=True)
    page.keyboard.press("Enter")
    typed(page, "cpu_us")
    offered(page, "container_cpu_usage_seconds_total")
    page.keyboard.press("Enter")
    typed(page, "{ap")
    offered(page, "app")
    page.keyboard.press("Enter")
    offered(page, "billing", "cache", at_least=True)
    typed(page, "bil")
    offered(page, "billing")
    page.keyboard.press("Enter")
    typed(page, "}[")
    offered(page, "1m", "2m", "5m", at_least=True)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    typed(page, ")) by (tas")
    offered(page, "task_id", "task_name")
    page.keyboard.press("Escape")
    typed(page, "k_name)")
    page.keyboard.press("Control+Enter")

    want = 'sum(rate(container_cpu_usage_seconds_total{app="billing"}[2m])) by (task_name)'
    expect(page.locator("#filter")).to_have_value(want)
    expect(page.locator(".result-head")).to_contain_text("1 series")
    expect(page.locator("#result canvas")).to_be_visible()


def test_values_are_those_that_the_rest_of_the_selector_leaves(console: Console) -> None:
    """Another matcher narrows the choice; ctrl and space ask for it."""
    page = console.open("/query")
    typed(page, 'container_restarts_total{app="shop", task_name=~"')
    offered(page, "shop-1", "shop-2")
    page.keyboard.press("Escape")
    expect(page.locator("#completions")).to_be_hidden()
    page.keyboard.press("Control+Space")

    offered(page, "shop-1", "shop-2")


def test_nothing_is_offered_in_a_comment_or_behind_a_value(console: Console) -> None:
    """The list stays away where nothing of the kind can follow."""
    page = console.open("/query")
    for text in ("# sum of ra", 'label_replace(up, "ap', "up 12"):
        page.locator("#filter").fill("")
        typed(page, text)
        page.wait_for_timeout(150)
        assert not page.locator("#completions").is_visible(), text


def test_error_is_underlined_where_it_is(console: Console) -> None:
    """The word that is wrong, also in a later line, until somebody edits it."""
    page = console.open("/query?expr=" + quote("sum(\n  foo(up)\n)"))
    expect(page.get_by_role("alert")).to_contain_text('unknown function with name "foo"')
    mark = page.locator(".underlines mark")
    expect(mark).to_have_text("foo")
    box, text = mark.bounding_box(), page.locator("#filter").bounding_box()
    assert box is not None
    assert text is not None
    assert text["y"] + 20 < box["y"] < text["y"] + 45

    typed(page, " ")
    expect(mark).to_have_count(0)
    console.errors.clear()  # the browser itself remarks on the answer 400


def test_warnings_and_infos_are_shown_and_underlined(console: Console) -> None:
    """A rate of what is no counter."""
    page = console.open("/query?view=table&expr=" + quote("rate(probe_success[5m])"))

    expect(page.get_by_role("status").filter(has_text="might not be a counter")).to_be_visible()
    expect(page.locator(".underlines mark")).to_have_text("probe_success")


def test_cost_of_a_query_is_shown(console: Console) -> None:
    """Series, samples and time."""
    page = console.open("/query?expr=" + quote(CPU))

    expect(page.locator(".result-head")).to_have_text(
        re.compile(r"10 series, step 15 s · [\d,]+ samples of 11 series read · evaluated in .+ ms")
    )


def test_several_queries_are_part_of_the_address(console: Console) -> None:
    """A link gives the same page again."""
    page = console.open("/query?expr=" + quote(CPU))
    page.get_by_role("button", name="Add query").click()
    typed(page, "up == 0", "#filter-2")
    page.keyboard.press("Control+Enter")
    second = page.get_by_role("region", name="Query 2")
    second.get_by_role("button", name="Table").click()
    expect(second.locator(".query-result")).to_contain_text("No data at this time")
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["expr"] == [CPU, "up == 0"]
    assert asked["view"] == ["graph", "table"]

    page.reload()
    expect(page.locator("#filter")).to_have_value(CPU)
    expect(page.locator("#filter-2")).to_have_value("up == 0")
    page.get_by_role("region", name="Query 1").get_by_role("button", name="Remove").click()
    expect(page.locator("textarea")).to_have_count(1)
    assert parse_qs(urlsplit(page.url).query)["expr"] == ["up == 0"]


def test_query_is_formatted_and_can_be_had_back(console: Console) -> None:
    """By the button; ctrl and Z undo it."""
    page = console.open("/query")
    written = "sum(rate(container_cpu_usage_seconds_total[2m]))by(app)"
    page.locator("#filter").fill(written)
    page.get_by_role("button", name="Format").click()
    expect(page.locator("#filter")).to_have_value(CPU)
    page.keyboard.press("Control+z")

    expect(page.locator("#filter")).to_have_value(written)


def test_history_keeps_what_was_run(console: Console) -> None:
    """The last one stands first, each once; it is kept in this browser."""
    page = console.open("/query")
    for text in ("up", "1 + 1", "up"):
        page.locator("#filter").fill(text)
        page.keyboard.press("Control+Enter")
    page.goto(console.url + "/query")
    page.get_by_text("History", exact=True).click()
    expect(page.locator(".history-entry")).to_have_text(["up", "1 + 1"])
    page.locator(".history-entry").last.click()
    expect(page.locator("#filter")).to_have_value("1 + 1")
    page.get_by_text("History", exact=True).click()
    page.get_by_role("button", name="Forget these").click()

    expect(page.locator(".history-entry")).to_have_count(0)


def test_histograms_are_bars_in_the_table(console: Console) -> None:
    """A graph says how to draw them."""
    histogram = [
        1.5,
        {"count": "6", "sum": "9", "buckets": [[0, "0", "1", "2"], [0, "1", "2", "4"]]},
    ]
    instant = {"resultType": "vector", "result": [{"metric": {}, "histogram": histogram}]}
    ranged = {"resultType": "matrix", "result": [{"metric": {}, "histograms": [histogram]}]}
    page = console.page
    answers = {"query": instant, "query_range": ranged}

    def answer(route: Route) -> None:
        found = answers[urlsplit(route.request.url).path.rpartition("/")[2]]
        route.fulfill(json={"status": "success", "data": found})

    page.route(re.compile(r"/api/v1/query(_range)?$"), answer)
    console.open("/query?view=table&expr=h")
    expect(page.locator(".histogram-cell")).to_contain_text("count 6, sum 9")
    expect(page.locator(".bars i")).to_have_count(2)
    page.get_by_role("button", name="Graph").click()

    expect(page.locator("#result")).to_contain_text("histogram_quantile")


def test_phone_shows_it_all_without_scrolling_sideways(
    browser: Browser, server: WebServer, host: Demo
) -> None:
    """A long query wraps, its list and the history stay within the screen."""
    console = make_console(browser, server, host, viewport=PHONE)
    page = console.open("/query?expr=" + quote(CPU))
    expect(page.locator("#result canvas")).to_be_visible()
    page.get_by_role("button", name="Run").click()
    page.get_by_text("History", exact=True).click()
    expect(page.locator(".history-entry").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#filter").fill("")
    typed(page, "container_")
    expect(page.get_by_role("option").nth(3)).to_be_visible()
    box = page.locator("#completions").bounding_box()

    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert console.errors == []
    page.context.close()

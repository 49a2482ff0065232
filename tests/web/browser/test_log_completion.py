"""What the search for logs offers while somebody types: fields and their values."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browser.conftest import Console, make_console
from tests.web.demo_host import Demo
from web.server import WebServer

pytestmark = pytest.mark.browser


def search_of(console: Console, address: str) -> Page:
    """Open the page with its lines there and the search being typed in."""
    page = console.open(address)
    expect(page.locator(".log-row").first).to_be_attached()
    page.keyboard.press("/")
    return page


def offered(page: Page, *texts: str) -> None:
    """Expect that just these are on offer."""
    expect(page.locator("#log-completions:visible li > span")).to_have_text(texts)


def test_a_field_and_its_value_are_completed_with_the_keyboard(console: Console) -> None:
    """The values are those among the lines, with how often they are there; the lines follow at once."""
    page = search_of(console, "/logs?range=1h")
    page.keyboard.type("leve")
    offered(page, "level")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search logs")).to_have_value("level:")
    values = page.locator("#log-completions:visible li > span")
    expect(values.filter(has_text="warn")).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(0)
    page.keyboard.type("wa")
    offered(page, "warn")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_have_text("warn")
    page.keyboard.press("Enter")

    expect(page.get_by_label("Search logs")).to_have_value("level:warn")
    expect(page.locator("#log-completions")).to_be_hidden()
    expect(page.locator(".log-row").first).to_have_attribute("data-level", "warn")
    assert "query=level%3Awarn" in page.url


def test_enter_searches_for_what_was_typed_whatever_is_on_offer(console: Console) -> None:
    """Nothing is taken that nobody chose; Escape puts the list away and leaves the text."""
    page = search_of(console, "/logs?range=1h")
    page.keyboard.type("stream:std")
    expect(page.locator("#log-completions:visible li > span").first).to_have_text("stdout")
    page.keyboard.press("Escape")
    expect(page.locator("#log-completions")).to_be_hidden()
    expect(page.get_by_label("Search logs")).to_have_value("stream:std")
    page.keyboard.press("Control+Space")
    expect(page.locator("#log-completions")).to_be_visible()
    page.keyboard.press("Enter")

    expect(page.locator("#log-completions")).to_be_hidden()
    expect(page.get_by_label("Search logs")).to_have_value("stream:std")
    expect(page.get_by_text("No line matches")).to_be_visible()


@pytest.mark.parametrize(
    ("typed", "texts"),
    [
        ("level:(error OR wa", ["warn"]),
        ("pool -task_name:shop-", ["shop-1", "shop-2"]),
        ('NOT task_name:"shop-', ["shop-1", "shop-2"]),
        ("(pool OR namesp", ["namespace"]),
        ("pool NOT", []),
        ('"level:', []),
        ("level:>=", []),
        ("level:no", ["none"]),
        ("nosuchfieldofours:x", []),
    ],
)
def test_where_it_is_typed_says_what_is_offered(
    browser: Browser, server: WebServer, host: Demo, typed: str, texts: list[str]
) -> None:
    """Values stand behind a field, also in brackets and quotes; texts and comparisons have none."""
    # half a query may be searched for meanwhile, and found wrong
    page = search_of(make_console(browser, server, host), "/logs?range=1h")
    page.keyboard.type(typed)
    page.wait_for_timeout(500)
    found = page.locator("#log-completions:visible li > span").all_inner_texts()
    page.context.close()

    assert sorted(found) == texts


def test_values_with_signs_are_quoted_and_those_of_one_task_are_its_own(console: Console) -> None:
    """The log of a task offers what is in it; a field that its records bring is offered too."""
    page = search_of(console, "/tasks/{shop-1}")
    page.keyboard.type("image:")
    choice = page.locator("#log-completions:visible li > span")
    expect(choice).to_have_count(1)
    image = choice.inner_text()
    assert ":" in image
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search logs")).to_have_value(f'image:"{image}"')
    page.get_by_label("Search logs").fill("")
    page.keyboard.type("task_name:")

    offered(page, "shop-1")

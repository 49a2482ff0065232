"""The console in a real Chromium: a page that notes what goes wrong in it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec import Struct, field
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from prometheus_client import CollectorRegistry

from tests.needs import leave_out
from tests.web.demo_host import Demo
from tests.web.demo_parts import make_demo
from web.app import create_app
from web.server import WebServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# said when an interface of this machine comes or goes, as each container's does
NOT_OURS = "ERR_NETWORK_CHANGED"
VENDOR = Path(__file__).parents[3] / "web/static/vendor/uplot/uPlot.esm.js"
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


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
        leave_out("there is no Chromium")
    assert VENDOR.exists(), "run: python web/build.py"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Console(Struct):
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

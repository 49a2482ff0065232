"""The console's app over made-up data, and clients of it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from werkzeug.test import TestResponse

from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore
from tests.web.demo_host import Demo
from tests.web.demo_parts import make_demo
from web.api.gate import DEFAULT_LIMITS, QueryLimits
from web.app import create_app
from web.parts import Parts
from web.server import WebServer

MakeClient = Callable[..., FlaskClient]


def bare_parts(**given: Any) -> Parts:
    """Return parts of a process that has nothing but what is given."""
    shared: dict[str, Any] = {
        "clock": FakeClock(),
        "version": "0.1.0",
        "exposition": lambda: b"up 1\n",
        "status": dict,
    }
    return Parts(**{**shared, **given})


def body(answer: TestResponse) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.data)


@pytest.fixture
def make_client() -> MakeClient:
    """Return a maker of clients for an app with the parts given."""

    def make(*, query_limits: QueryLimits = DEFAULT_LIMITS, **given: Any) -> FlaskClient:
        app = create_app(bare_parts(**given), CollectorRegistry(), query_limits=query_limits)
        client = app.test_client()
        client.environ_base["HTTP_HOST"] = "localhost:80"
        return client

    return make


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store of series."""
    return MemoryStore()


@pytest.fixture(scope="module")
def demo() -> Demo:
    """Return the made-up host; its samples end now."""
    return make_demo()


@pytest.fixture
def demo_client(demo: Demo) -> FlaskClient:
    """Return a client of the made-up host."""
    registry = CollectorRegistry()
    return create_app(demo.parts(registry), registry).test_client()


@pytest.fixture
def demo_server(demo: Demo) -> Iterator[WebServer]:
    """Serve the made-up host on a port of its own, with room for two tails."""
    registry = CollectorRegistry()
    app = create_app(demo.parts(registry), registry, max_log_tails=2)
    server = WebServer(app, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()

"""Listening and stopping."""

import http.client
import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from model.errors import OperatorError
from tests.web.conftest import bare_parts
from web.app import create_app
from web.server import WebServer


def make_server(port: int = 0) -> WebServer:
    """Return a server of an app without any part."""
    return WebServer(create_app(bare_parts(), CollectorRegistry()), "127.0.0.1", port)


def get(server: WebServer, path: str = "/-/healthy") -> http.client.HTTPResponse:
    """Ask over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_server_answers_from_start_to_stop() -> None:
    """At once after start; never after stop; no thread is left behind."""
    before = set(threading.enumerate())
    server = make_server()
    server.start()

    assert get(server).status == 200
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert get(server).headers["Server"] is None
    server.stop()
    server.stop()
    with pytest.raises(OSError, match="refused"):
        get(server)
    end = time.monotonic() + 3
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


def test_stop_before_start_does_nothing() -> None:
    """So that wiring may stop everything, however far it got."""
    make_server().stop()


def test_port_in_use_is_one_clear_sentence() -> None:
    """It names the address and what to do."""
    first = make_server()
    first.start()
    second = make_server(first.port)
    try:
        with pytest.raises(OperatorError, match=rf"127.0.0.1:{first.port} is in use.*--listen"):
            second.start()
    finally:
        first.stop()


def test_address_that_is_none_is_one_clear_sentence() -> None:
    """A name that does not resolve, an address of another machine."""
    server = WebServer(create_app(bare_parts(), CollectorRegistry()), "192.0.2.1", 0)
    with pytest.raises(OperatorError, match=r"cannot listen on 192\.0\.2\.1"):
        server.start()


def test_host_is_checked_with_the_port_that_is_served() -> None:
    """The kernel chose the port; the guard knows it."""
    server = make_server()
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/-/healthy", headers={"Host": "localhost:1"})
    status = connection.getresponse().status
    connection.close()
    server.stop()

    assert status == 421

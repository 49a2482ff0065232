"""Scrapes that are sent elsewhere, by real servers."""

import contextlib
import re
import socket
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from collector.metrics import ScrapeMetrics
from collector.scrape.fetch import Fetcher
from collector.scrape.http import FetchError, Response
from collector.scrape.target import Credentials, ScrapeJob, Target, make_target, redirected
from tests.collector.scrape.servers import GOOD, Serve, answer, serving

BEARER = Credentials("Bearer", "secret")


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """Return a fetcher that runs."""
    made = Fetcher(ScrapeMetrics(CollectorRegistry()))
    made.start()
    yield made
    made.stop()


def target(port: int, **words: Any) -> Target:
    """Return a target on loopback."""
    job = ScrapeJob("job", timeout_seconds=3.0, **{"follow_redirects": True, **words})
    made = make_target(job, {"__address__": f"127.0.0.1:{port}"})
    assert isinstance(made, Target)
    return made


def fetch(fetcher: Fetcher, wanted: Target) -> Response | FetchError:
    """Scrape once."""
    results: SimpleQueue[Response | FetchError] = SimpleQueue()
    fetcher.call(lambda: fetcher.fetch(wanted, results.put))
    return results.get(timeout=5)


def sends(ways: dict[str, str], seen: list[tuple[socket.socket, bytes]]) -> Serve:
    """Answer a path with a redirect (its status before a space, else 302), others with metrics."""

    def serve(connection: socket.socket, request: bytes) -> None:
        seen.append((connection, request))
        status, _, to = ways.get(request.split()[1].decode(), "").rpartition(" ")
        more = [f"Location: {to}"] if to else []
        connection.sendall(answer(b"" if to else GOOD, "text/plain", status or ("302 Found" if to else "200 OK"), *more))  # fmt: skip

    return serve


@contextlib.contextmanager
def two(ways: dict[str, str]) -> Iterator[tuple[int, list[Any], list[Any]]]:
    """Serve a place that redirects, and another that is ``OTHER`` in its ways; yields port and what both saw."""
    here: list[Any] = []
    there: list[Any] = []
    with serving(sends({}, there)) as other:
        known = {path: to.replace("OTHER", f"localhost:{other}") for path, to in ways.items()}
        with serving(sends(known, here)) as port:
            yield port, here, there


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Same", "308 Same"])
def test_a_redirect_is_followed(fetcher: Fetcher, status: str) -> None:
    """To another host, by each status that says so; the credentials stay here."""
    with two({"/metrics": f"{status} http://OTHER/real?x=1#part"}) as (port, here, there):
        result = fetch(fetcher, target(port, credentials=BEARER))

    assert isinstance(result, Response)
    assert (result.status, bytes(result.body())) == (200, GOOD)
    assert b"Authorization: Bearer secret" in here[0][1]
    (asked,) = [request for _, request in there]
    assert asked.startswith(b"GET /real?x=1 HTTP/1.1\r\nHost: localhost:")
    assert b"secret" not in asked


def test_on_the_same_host_the_connection_and_the_credentials_are_kept(fetcher: Fetcher) -> None:
    """Relative to the path; and the next scrape finds the connection of its target."""
    with two({"/metrics": "metrics/"}) as (port, here, _):
        results = [fetch(fetcher, target(port, credentials=BEARER)) for _ in range(2)]

    assert [result.status for result in results if isinstance(result, Response)] == [200, 200]
    assert [request.split()[1] for _, request in here] == [b"/metrics", b"/metrics/"] * 2
    assert all(b"Bearer secret" in request for _, request in here)
    assert here[0][0] is here[2][0]


@pytest.mark.parametrize(
    ("to", "reason", "message"),
    [
        ("/metrics", "redirect", "stopped after 10 redirects"),
        ("ftp://127.0.0.1/x", "redirect", "to 'ftp://127.0.0.1/x', no http or https address"),
        ("file:///etc/passwd", "redirect", "no http or https address"),
        ("http://user:word@127.0.0.1/", "redirect", "no http or https address"),
        ("http://[::1/", "redirect", "no http or https address"),
        ("http://127.0.0.1:1/", "refused", "refused"),
    ],
)
def test_ways_that_lead_nowhere(fetcher: Fetcher, to: str, reason: str, message: str) -> None:
    """A circle, another scheme, a name with a password, a port where nobody listens."""
    with two({"/metrics": to}) as (port, here, _):
        result = fetch(fetcher, target(port))

    assert isinstance(result, FetchError)
    assert result.reason == reason
    assert re.search(message, str(result), re.IGNORECASE)
    assert len(here) == (11 if to == "/metrics" else 1)


def test_limits_hold_where_it_leads(fetcher: Fetcher) -> None:
    """The body there may be as large as the target's."""
    with two({"/metrics": "http://OTHER/"}) as (port, _, _):
        result = fetch(fetcher, target(port, body_size_limit_bytes=10))

    assert isinstance(result, FetchError)
    assert result.reason == "body_too_large"


def test_without_the_option_it_is_an_answer_like_any_other(fetcher: Fetcher) -> None:
    """The redirect itself comes back; nobody is asked twice."""
    with two({"/metrics": "http://OTHER/"}) as (port, here, there):
        result = fetch(fetcher, target(port, follow_redirects=False))

    assert isinstance(result, Response)
    assert (result.status, len(here), len(there)) == (302, 1, 0)


def test_nothing_in_a_location_ends_the_request_line() -> None:
    """Spaces and control characters are written as URLs have them."""
    there = redirected(target(80), "/a b\x01?q=\x7f x")

    assert there.path == "/a%20b%01?q=%7F%20x"

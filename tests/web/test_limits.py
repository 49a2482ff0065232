"""Limits of queries: time, places, series, and clients that hang up; over real sockets where it matters."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.labels import METRIC_NAME, Labels, Matcher
from promql.engine import Engine, Limits
from storage.interface import Hints, SeriesSet
from taskscope.clock import SystemClock
from tests.fakes.store import MemoryStore
from tests.web.conftest import MakeClient, bare_parts, body
from web.api.gate import QueryLimits
from web.app import create_app
from web.server import WebServer

MANY = 200


def query_of(selects: int) -> str:
    """Return a query that asks the store so often; no two of its selectors are the same."""
    return "+".join(f'up{{i!="{number}"}}' for number in range(selects))


LONG_QUERY = query_of(MANY)


class SlowStore(MemoryStore):
    """Takes its time for every select and counts them."""

    def __init__(self, seconds: float = 0.02) -> None:
        super().__init__()
        self.seconds = seconds
        self.selects = 0
        self.asked = threading.Event()
        ref = self.series([Labels.of({METRIC_NAME: "up"})])
        now = np.array([time.time_ns() // 1_000_000], dtype=np.int64)
        self.append_samples(ref, now, np.ones(1))

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        self.selects += 1
        self.asked.set()
        time.sleep(self.seconds)
        return super().select(matchers, mint, maxt, hints)


@contextmanager
def served(
    store: MemoryStore, limits: QueryLimits
) -> Iterator[tuple[WebServer, CollectorRegistry]]:
    """Serve a store on a port of its own."""
    registry = CollectorRegistry()
    parts = bare_parts(clock=SystemClock(), queryable=store, engine=Engine())
    server = WebServer(create_app(parts, registry, query_limits=limits), "127.0.0.1", 0)
    server.start()
    try:
        yield server, registry
    finally:
        server.stop()


def stopped(registry: CollectorRegistry, reason: str) -> float:
    """Return how many queries were stopped for a reason."""
    name = "taskscope_web_stopped_queries_total"
    return registry.get_sample_value(name, {"reason": reason}) or 0.0


def asked(server: WebServer, query: str, **parameters: Any) -> tuple[int, Any]:
    """Ask and return status and body."""
    more = "".join(f"&{name}={value}" for name, value in parameters.items())
    try:
        with urlopen(f"{server.url}/api/v1/query?query={quote(query)}{more}", timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def until(met: Any, seconds: float = 5.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_client_that_hangs_up_stops_its_query() -> None:
    """The connection is closed in the middle; the engine is stopped long before the query's end."""
    store = SlowStore()
    with served(store, QueryLimits()) as (server, registry):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            line = f"GET /api/v1/query?query={quote(LONG_QUERY)} HTTP/1.1\r\n"
            connection.sendall(f"{line}Host: 127.0.0.1:{server.port}\r\n\r\n".encode())
            assert store.asked.wait(5)
        until(lambda: stopped(registry, "canceled") == 1)

        assert store.selects < MANY / 2
        assert asked(server, "1")[0] == 200


def test_client_that_hangs_up_in_the_line_gives_its_place_away() -> None:
    """A query that waits for its turn is not begun if nobody waits for it."""
    store = SlowStore()
    with served(store, QueryLimits(max_concurrency=1)) as (server, registry):
        holder = threading.Thread(target=asked, args=(server, query_of(30)))
        holder.start()
        assert store.asked.wait(5)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            host = f"Host: 127.0.0.1:{server.port}"
            connection.sendall(f"GET /api/v1/query?query=up HTTP/1.1\r\n{host}\r\n\r\n".encode())
            time.sleep(0.1)
        until(lambda: stopped(registry, "canceled") == 1)
        holder.join(10)

        assert store.selects == 30


def test_queries_beyond_the_places_wait_for_their_turn() -> None:
    """All are answered, never two at once."""
    running, most, lock = [0], [0], threading.Lock()

    class Watched(SlowStore):
        def select(self, *arguments: Any) -> SeriesSet:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            found = super().select(*arguments)
            with lock:
                running[0] -= 1
            return found

    with served(Watched(), QueryLimits(max_concurrency=1)) as (server, _):
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(asked(server, "up")[0])) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert found == [200] * 6
    assert most == [1]


def test_query_that_waits_too_long_is_503() -> None:
    """Its ``timeout`` counts from its arrival; other endpoints are answered meanwhile."""
    store = SlowStore()
    with served(store, QueryLimits(max_concurrency=1)) as (server, registry):
        holder = threading.Thread(target=asked, args=(server, query_of(40)))
        holder.start()
        assert store.asked.wait(5)
        status, answer = asked(server, "up", timeout="200ms")
        with urlopen(f"{server.url}/-/healthy", timeout=5) as healthy:
            assert healthy.status == 200
        holder.join(10)

        assert (status, answer["errorType"]) == (503, "timeout")
        assert answer["error"] == "query timed out in query execution"
        assert stopped(registry, "timeout") == 1


def test_query_that_takes_too_long_is_503() -> None:
    """What the client allows holds, and what the configuration does."""
    store = SlowStore()
    with served(store, QueryLimits(timeout_seconds=0.3)) as (server, _):
        for more in ({"timeout": "200ms"}, {"timeout": "1h"}, {}):
            began = time.monotonic()
            status, answer = asked(server, LONG_QUERY, **more)

            assert (status, answer["errorType"]) == (503, "timeout")
            assert answer["error"] == "query timed out in expression evaluation"
            assert time.monotonic() - began < 2


def test_query_that_reads_too_many_series_is_422(make_client: MakeClient) -> None:
    """Over all its selectors."""
    store = MemoryStore()
    labels = [Labels.of({METRIC_NAME: "up", "i": str(i)}) for i in range(6)]
    refs = store.series(labels)
    store.append_samples(refs, np.full(6, 1_767_225_600_000), np.ones(6))
    client = make_client(queryable=store, engine=Engine(), query_limits=QueryLimits(max_series=10))

    assert client.get("/api/v1/query", query_string={"query": "up"}).status_code == 200
    answer = client.get("/api/v1/query", query_string={"query": 'up + up{i!=""}'})
    assert (answer.status_code, body(answer)["errorType"]) == (422, "execution")
    message = "query would load too many series into memory in query execution"
    assert body(answer)["error"] == message


@pytest.mark.slow
def test_large_answer_is_sent_while_it_is_made() -> None:
    """A million points come through whole, and a reader that leaves half-way harms nobody."""
    with served(MemoryStore(), QueryLimits()) as (server, _):
        query = "%20or%20".join(
            quote(f'label_replace(vector({i}), "i", "{i}", "", "")') for i in range(100)
        )
        path = f"/api/v1/query_range?query={query}&start=0&end=10000&step=1"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        with urlopen(f"{server.url}{path}", timeout=30) as answer:
            assert answer.headers["Transfer-Encoding"] == "chunked"
            series = json.loads(answer.read())["data"]["result"]

        assert len(series) == 100
        assert {len(one["values"]) for one in series} == {10_001}


def test_selector_over_too_many_samples_is_refused_before_they_are_read(
    make_client: MakeClient,
) -> None:
    """Never more is read at once than a query may have; what is sparse passes.

    Where all series of the store would not be too many, a selector is read once and not looked at before.
    """
    largest, looks = [0], [0]

    class Weighed(MemoryStore):
        def select(self, *arguments: Any) -> SeriesSet:
            found = super().select(*arguments)
            cells = 0 if arguments[3].series_only else sum(g.values.size for g in found.groups)
            largest[0] = max(largest[0], cells)
            looks[0] += arguments[3].series_only
            return found

    store = Weighed()
    labels = [Labels.of({METRIC_NAME: "dense", "i": str(i)}) for i in range(4)]
    refs = np.repeat(store.series(labels), 3600)
    now = 1_767_225_600_000
    times = np.tile(now - 1000 * np.arange(3600), 4)
    store.append_samples(refs, times, np.ones(len(times)))
    ref = np.repeat(store.series([Labels.of({METRIC_NAME: "sparse"})]), 60)
    store.append_samples(ref, now - 60_000 * np.arange(60), np.ones(60))
    client = make_client(queryable=store, engine=Engine(Limits(max_samples=1000)))

    answer = client.get("/api/v1/query", query_string={"query": "sum(rate(dense[1h]))"})
    assert (answer.status_code, body(answer)["errorType"]) == (422, "execution")
    assert body(answer)["error"] == (
        "query processing would load too many samples into memory in query execution"
    )
    assert largest[0] <= 2000
    answer = client.get("/api/v1/query", query_string={"query": "count_over_time(sparse[1h])"})
    assert body(answer)["data"]["result"][0]["value"][1] == "60"
    answer = client.get("/api/v1/query", query_string={"query": "count_over_time(sparse[50y])"})
    assert body(answer)["data"]["result"][0]["value"][1] == "60"

    looked, told = looks[0], [5]
    limits = {"queryable": store, "engine": Engine(Limits(max_samples=10_000))}
    client = make_client(**limits, series_at_most=lambda mint, maxt: told[0])
    for most, look in ((5, 0), (500, 1)):
        told[0] = most
        client.get("/api/v1/query", query_string={"query": "count_over_time(sparse[1h])"})
        assert looks[0] - looked == look

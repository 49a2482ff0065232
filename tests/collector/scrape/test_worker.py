"""Where a fetched exposition is worked off."""

from prometheus_client import CollectorRegistry

from collector.metrics import ScrapeMetrics
from collector.scrape.http import Response
from collector.scrape.series import TargetSeries
from collector.scrape.target import ScrapeJob, Target, make_target
from collector.scrape.worker import TargetState, Workers
from tests.fakes.store import MemoryStore


def response(body: bytes) -> Response:
    """Return a complete response with this body."""
    made = Response(0)
    made.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return made


def test_known_lines_wait_for_no_other_thread() -> None:
    """The first exposition is for the workers; one of the same lines is stored by whoever brings it."""
    store = MemoryStore()
    target = make_target(ScrapeJob("shop"), {"__address__": "127.0.0.1:1"})
    assert isinstance(target, Target)
    state = TargetState(target, TargetSeries(target, store))
    workers = Workers(store, ScrapeMetrics(CollectorRegistry()), threads=1)

    workers.fetched(state, response(b"a 1\n"), 1000, 0.0)
    assert state.last_scrape_ms == 0
    workers.start()
    workers.stop()
    assert (state.last_scrape_ms, state.health) == (1000, "up")

    workers.fetched(state, response(b"a 2\n"), 2000, 0.0)
    assert (state.last_scrape_ms, state.health) == (2000, "up")
    workers.fetched(state, response(b"b 2\n"), 3000, 0.0)
    assert state.last_scrape_ms == 2000

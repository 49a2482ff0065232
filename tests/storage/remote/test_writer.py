"""The appender whose store is elsewhere, over real HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.errors import StorageError
from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import NO_SAMPLE, STALE, Exemplar, ScrapeBatch, is_stale, no_samples
from storage.interface import Hints, Metadata, SeriesExemplars
from storage.remote.client import RemoteWriteClient
from storage.remote.receiver import RemoteWriteReceiver
from storage.remote.writer import RemoteAppender
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, histogram_at, pool_of

NOW = 1_767_225_600_000
A, B = (Labels.of({"__name__": name, "job": "x"}) for name in "ab")


class Server:
    """A remote write endpoint over a store; answers ``statuses`` first, then 204."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.statuses: list[int] = []
        self.headers: list[dict[str, str]] = []
        receiver = RemoteWriteReceiver(self.store, CollectorRegistry())
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.headers.append(dict(self.headers.items()))
                status = outer.statuses.pop(0) if outer.statuses else 204
                if status == 204:
                    receiver.ingest(body)
                text = b"" if status == 204 else b"no\n" * 2000
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/api/v1/write"


@contextmanager
def serving() -> Iterator[Server]:
    """Serve until the end of the block."""
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


@contextmanager
def sending(
    url: str, registry: CollectorRegistry | None = None, **words: float
) -> Iterator[RemoteAppender]:
    """Send until the end of the block."""
    made = RemoteAppender(
        RemoteWriteClient(url, 2.0, lambda: "Bearer t"),
        registry or CollectorRegistry(),
        batch_wait_seconds=0.01,
        **words,  # type: ignore[arg-type]
    )
    made.start()
    try:
        yield made
    finally:
        made.stop(2)
        made.stop(0)


def test_everything_an_appender_takes_arrives() -> None:
    """Scrapes with holes, late samples, stale markers and metadata are in the far store when ``wait`` returns."""
    with serving() as server, sending(server.url) as appender:
        layout = appender.layout((A, B))
        assert appender.layout((A, B)) == layout
        appender.set_metadata({"a": Metadata("gauge", "An a.", "")})
        appender.append(ScrapeBatch(layout, NOW, np.array([1.0, NO_SAMPLE[0]])))
        refs = appender.series((B, A))
        appender.append_samples(refs, np.array([NOW + 1, 5]), np.array([STALE[0], -0.0]))
        ticket = appender.append(ScrapeBatch(layout, NOW + 2, np.array([2.0, 3.0])))

        assert ticket.wait(5)
    assert server.store.samples[A] == {NOW: 1.0, 5: 0.0, NOW + 2: 2.0}
    assert is_stale(np.array([server.store.samples[B].pop(NOW + 1)])).all()
    assert server.store.samples[B] == {NOW + 2: 3.0}
    assert server.store.metadata() == {"a": Metadata("gauge", "An a.", "")}
    sent = server.headers[0]
    assert sent["Content-Encoding"] == "snappy"
    assert sent["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert sent["Authorization"] == "Bearer t"


def test_a_server_in_trouble_is_asked_again() -> None:
    """500, 429 and 503 are tried again until the samples are taken; in order, once."""
    registry = CollectorRegistry()
    with serving() as server, sending(server.url, registry) as appender:
        server.statuses = [500, 429, 503]
        layout = appender.layout((A,))
        ticket = appender.append(ScrapeBatch(layout, NOW, np.array([1.0])))

        assert ticket.wait(5)
    assert server.store.samples == {A: {NOW: 1.0}}
    assert registry.get_sample_value("taskscope_remote_write_retries_total") == 3
    assert registry.get_sample_value("taskscope_remote_write_sent_samples_total") == 1
    assert registry.get_sample_value("taskscope_remote_write_pending_samples") == 0


def test_what_is_refused_is_not_tried_again() -> None:
    """After 400 the ticket says so, the loss is counted, and later samples go through."""
    registry = CollectorRegistry()
    with serving() as server, sending(server.url, registry) as appender:
        server.statuses = [400]
        layout = appender.layout((A,))
        first = appender.append(ScrapeBatch(layout, NOW, np.array([1.0])))
        with pytest.raises(StorageError, match="answered 400"):
            first.wait(5)
        assert appender.append(ScrapeBatch(layout, NOW + 1, np.array([2.0]))).wait(5)
    assert server.store.samples == {A: {NOW + 1: 2.0}}
    dropped = "taskscope_remote_write_dropped_samples_total"
    assert registry.get_sample_value(dropped, {"reason": "refused"}) == 1


def test_while_the_server_is_away_samples_wait() -> None:
    """Nobody listens, then somebody does: everything queued arrives."""
    server = Server()
    port = server.http.server_address[1]
    server.http.server_close()
    with sending(server.url) as appender:
        layout = appender.layout((A,))
        ticket = appender.append(ScrapeBatch(layout, NOW, np.array([1.0])))
        assert not ticket.wait(0.2)
        server.http.__init__(("127.0.0.1", port), server.http.RequestHandlerClass)  # type: ignore[misc]
        thread = threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            assert ticket.wait(10)
        finally:
            server.http.shutdown()
            server.http.server_close()
            thread.join()
    assert server.store.samples == {A: {NOW: 1.0}}


def test_a_full_queue_drops_the_oldest() -> None:
    """Memory is bounded: the oldest samples go, are counted, and their tickets say so."""
    registry = CollectorRegistry()
    appender = RemoteAppender(
        RemoteWriteClient("http://127.0.0.1:9/"), registry, max_queue_bytes=200
    )
    layout = appender.layout((A,))
    tickets = [appender.append(ScrapeBatch(layout, NOW + n, np.array([1.0]))) for n in range(20)]

    with pytest.raises(StorageError, match="queue full"):
        tickets[0].wait(0)
    assert tickets[-1].wait(0) is False
    dropped = "taskscope_remote_write_dropped_samples_total"
    lost = registry.get_sample_value(dropped, {"reason": "queue_full"})
    pending = registry.get_sample_value("taskscope_remote_write_pending_samples")
    assert lost is not None
    assert pending == 20 - lost > 0
    appender.stop(0.1)
    with pytest.raises(StorageError, match="stopped"):
        tickets[-1].wait(0)
    with pytest.raises(StorageError, match="stopped"):
        appender.append(ScrapeBatch(layout, NOW, np.array([1.0]))).wait(0)


def test_an_unknown_layout_is_an_error() -> None:
    """A batch of another layout or size is refused at once."""
    appender = RemoteAppender(RemoteWriteClient("http://127.0.0.1:9/"), CollectorRegistry())
    layout = appender.layout((A,))

    with pytest.raises(StorageError):
        appender.append(ScrapeBatch(layout + 1, NOW, np.array([1.0])))
    with pytest.raises(StorageError):
        appender.append(ScrapeBatch(layout, NOW, np.array([1.0, 2.0])))


@pytest.mark.parametrize("url", ["ftp://x/", "nonsense", "http://"])
def test_a_wrong_url_is_an_error(url: str) -> None:
    """Only http and https URLs are endpoints."""
    with pytest.raises(ValueError, match="not the URL"):
        RemoteWriteClient(url)


def test_histograms_are_sent() -> None:
    """Beside floats, in one append."""
    pool = pool_of([Histogram(positive={1: 2.0, 4: 1.0}, sum=5.0)])
    values = no_samples(2)
    values[1] = 1.5
    with serving() as server, sending(server.url) as appender:
        refs = appender.series([A, B])
        column = HistogramColumn(np.array([0, -1], dtype=np.int32), pool)
        assert appender.append_samples(refs, np.array([NOW, NOW]), values, histograms=column).wait(
            5
        )

    groups = server.store.select([], 0, 1 << 62, Hints()).groups
    found = [group.histograms for group in groups if group.histograms is not None]
    assert [histogram_at(one.pool, int(one.index[0, 0])) for one in found] == [
        Histogram(positive={1: 2.0, 4: 1.0}, sum=5.0)
    ]
    assert server.store.samples[B] == {NOW: 1.5}


def test_exemplars_are_sent() -> None:
    """Behind the samples of their series."""
    trace = Exemplar(Labels.of({"trace_id": "abc"}), 0.5, NOW)
    with serving() as server, sending(server.url) as appender:
        refs = appender.series([A])
        appender.append_samples(refs, np.array([NOW]), np.array([1.0]))
        assert appender.append_exemplars(refs, [trace]).wait(5)

    assert server.store.exemplars([[]], 0, 1 << 62) == [SeriesExemplars(A, (trace,))]

"""Remote write out, over real HTTP and from a real write-ahead log."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import STALE, ScrapeBatch, is_stale, no_samples
from storage.interface import Hints, Metadata
from storage.remote.client import RemoteWriteClient
from storage.remote.columns import RemoteWriteError
from storage.remote.out.format_v1 import FormatV1
from storage.remote.out.format_v2 import FormatV2
from storage.remote.out.metrics import OutMetrics
from storage.remote.out.queue import RemoteWriteQueue
from storage.remote.out.shard import Pace
from storage.remote.receiver import RemoteWriteReceiver
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, pool_of

NOW = 1_767_225_600_000
ROWS = [Labels.of({"__name__": f"m{n}", "job": "x"}) for n in range(20)]


class Far:
    """A store that is elsewhere: answers with ``statuses`` first, then takes what comes."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.statuses: list[int] = []
        self.headers: list[dict[str, str]] = []
        self.refuse: Callable[[bytes], bool] = lambda body: False
        self.version = 1
        self.silent = False
        self.before: Callable[[], None] = lambda: None
        self.receiver = RemoteWriteReceiver(self.store, CollectorRegistry())
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.before()
                outer.headers.append(dict(self.headers.items()))
                status = outer.statuses.pop(0) if outer.statuses else 204
                said: dict[str, str] = {}
                if status == 204:
                    status, said = outer.take(body)
                self.send_response(status)
                for name, value in said.items():
                    self.send_header(name, value)
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/api/v1/write"

    def take(self, body: bytes) -> tuple[int, dict[str, str]]:
        if self.refuse(body):
            return 400, {}
        try:
            status, written = 204, self.receiver.ingest(body, self.version)
        except RemoteWriteError as error:
            status, written = 400, error.written
        if self.version == 1 or self.silent:
            return status, {}
        return status, {
            "X-Prometheus-Remote-Write-Samples-Written": str(written.samples),
            "X-Prometheus-Remote-Write-Histograms-Written": str(written.histograms),
            "X-Prometheus-Remote-Write-Exemplars-Written": str(written.exemplars),
        }


@contextmanager
def far_store() -> Iterator[Far]:
    """Serve until the end of the block."""
    far = Far()
    thread = threading.Thread(target=far.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield far
    finally:
        far.http.shutdown()
        far.http.server_close()
        thread.join()


@pytest.fixture
def far() -> Iterator[Far]:
    """Give a store that is elsewhere."""
    with far_store() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Tsdb]:
    """Give the store whose samples are sent on; its segments are small."""
    settings = TsdbSettings(commit_ms=5, segment_bytes=1_000)
    made = Tsdb(tmp_path / "tsdb", settings, FakeClock(), CollectorRegistry())
    made.start()
    yield made
    made.stop()


class Sender:
    """Makes queues over one store, one at a time."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.registry = CollectorRegistry()

    @contextmanager
    def sending(
        self,
        relabel: Callable[[Labels], Labels | None] = lambda labels: labels,
        metadata: Callable[[], dict[str, Metadata]] = dict,
        shards: int = 2,
        headers: dict[str, str] | None = None,
        version: int = 1,
        exemplars: bool = True,
        histograms: bool = True,
        max_shards: int = 50,
        max_samples_per_send: int = 2_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Iterator[RemoteWriteQueue]:
        self.registry = CollectorRegistry()
        queue = RemoteWriteQueue(
            self.folder / "tsdb" / "wal",
            self.folder / "state.json",
            lambda: RemoteWriteClient(
                self.url, 2.0, lambda: "Bearer t", headers=headers, version=version
            ),
            OutMetrics(self.registry).of("far", self.url),
            relabel=relabel,
            metadata=metadata,
            pace=Pace(
                max_samples_per_send=max_samples_per_send,
                batch_send_deadline=0.02,
                min_backoff=0.01,
                max_backoff=0.05,
            ),
            min_shards=shards,
            max_shards=max_shards,
            form=FormatV1() if version == 1 else FormatV2(),
            metadata_per_send=2,
            send_exemplars=exemplars,
            send_histograms=histograms,
            monotonic=monotonic,
        )
        queue.start()
        try:
            yield queue
        finally:
            queue.stop()

    def count(self, name: str, **labels: str) -> float:
        """Return one of the metrics."""
        labels = {"remote_name": "far", "url": self.url, **labels}
        return self.registry.get_sample_value(f"taskscope_remote_storage_{name}", labels) or 0.0


@pytest.fixture
def sender(tmp_path: Path, far: Far, store: Tsdb) -> Sender:
    """Give what sends from the store to the one that is elsewhere."""
    return Sender(tmp_path, far.url)


def scrape(store: Tsdb, step: int, rows: list[Labels] = ROWS) -> None:
    """Append a scrape; values say which."""
    values = np.arange(len(rows), dtype=np.float64) + step * 100
    store.append(ScrapeBatch(store.layout(rows), NOW + step * 1000, values)).wait()


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def points(far: Far) -> int:
    """Return how many samples the far store has."""
    return sum(len(samples) for samples in list(far.store.samples.values()))


def test_what_is_stored_is_sent(sender: Sender, far: Far, store: Tsdb) -> None:
    """Scrapes, samples with own times, stale markers and histograms, over several segments."""
    pool = pool_of([Histogram(positive={1: 2.0})])
    with sender.sending(headers={"X-Scope-OrgID": "one"}):
        for step in range(100):
            scrape(store, step)
        refs = store.series([ROWS[0], Labels.of({"__name__": "late"}), ROWS[1]])
        values = no_samples(3)
        values[1:] = [5.0, STALE[0]]
        values[2:] = STALE
        column = HistogramColumn(np.array([0, -1, -1], dtype=np.int32), pool)
        times = np.array([NOW - 1000, NOW - 2000, NOW + 500_000])
        store.append_samples(refs, times, values, histograms=column).wait()

        assert eventually(lambda: points(far) == 2003)
        assert eventually(lambda: sender.count("samples_total") == 2002)
        assert sender.count("histograms_total") == 1
    assert len(list((sender.folder / "tsdb" / "wal").glob("*.wal"))) > 1
    assert far.store.samples[ROWS[3]][NOW + 7000] == 703.0
    assert is_stale(np.array([far.store.samples[ROWS[1]][NOW + 500_000]])).all()
    groups = far.store.select([], NOW - 1000, NOW - 1000, Hints()).groups
    assert any(group.histograms is not None for group in groups)
    assert far.headers[0]["X-Scope-OrgID"] == "one"
    assert far.headers[0]["Authorization"] == "Bearer t"


def test_only_what_comes_after_the_first_start_is_sent(
    sender: Sender, far: Far, store: Tsdb
) -> None:
    """An endpoint that is new does not get the past."""
    scrape(store, 1)
    with sender.sending():
        scrape(store, 2)

        assert eventually(lambda: points(far) == 20)
    assert set(far.store.samples[ROWS[0]]) == {NOW + 2000}


def test_a_restart_goes_on_where_it_was(sender: Sender, far: Far, store: Tsdb) -> None:
    """What was stored while nobody sent is sent afterwards; little is sent twice."""
    with sender.sending():
        scrape(store, 1)
        assert eventually(lambda: points(far) == 20)
    for step in range(2, 50):
        scrape(store, step)
    with sender.sending():
        assert eventually(lambda: points(far) == 49 * 20)
        assert sender.count("samples_total") <= 49 * 20


def test_a_far_store_that_is_away_is_waited_for(sender: Sender, far: Far, store: Tsdb) -> None:
    """429 and all of 5xx are tried again until it works; nothing is lost."""
    far.statuses = [500, 503, 429, 501, 599] * 4
    with sender.sending():
        for step in range(10):
            scrape(store, step)

        assert eventually(lambda: points(far) == 200)
        assert sender.count("samples_retried_total") > 0
        assert sender.count("samples_failed_total", reason="refused") == 0


@pytest.mark.parametrize("status", [401, 404, 413])
def test_other_refusals_are_counted(sender: Sender, far: Far, store: Tsdb, status: int) -> None:
    """They will never work: the samples are given up, and what comes next goes on."""
    far.statuses = [status]
    with sender.sending(shards=1):
        scrape(store, 1)
        assert eventually(lambda: sender.count("samples_failed_total", reason="refused") == 20)
        scrape(store, 2)

        assert eventually(lambda: points(far) == 20)


def test_a_bad_series_does_not_cost_its_neighbours(sender: Sender, far: Far, store: Tsdb) -> None:
    """A request that is bad is sent again in halves, down to the scrape that is to blame."""
    bad = [Labels.of({"__name__": "bad", "job": "y"})]
    far.refuse = lambda body: b"bad" in body
    store.append(ScrapeBatch(store.layout(ROWS), NOW - 1, np.zeros(20))).wait()
    with sender.sending(shards=1):
        for step in range(20):
            scrape(store, step)
            scrape(store, step, bad)

        assert eventually(lambda: points(far) == 400)
        assert eventually(lambda: sender.count("samples_failed_total", reason="refused") == 20)


def test_series_are_relabelled_or_dropped(sender: Sender, far: Far, store: Tsdb) -> None:
    """In scrapes and by themselves; what is dropped is counted."""

    def change(labels: Labels) -> Labels | None:
        if labels.get("__name__") == "m3":
            return None
        return Labels.of({**dict(labels), "cluster": "c"})

    with sender.sending(relabel=change):
        scrape(store, 1)
        store.append_samples(
            store.series(ROWS[2:4]), np.array([NOW, NOW]), np.array([1.0, 2.0])
        ).wait()

        assert eventually(lambda: points(far) == 20)
        assert sender.count("samples_dropped_total", reason="relabel") == 2
    assert {labels.get("cluster") for labels in far.store.samples} == {"c"}
    assert "m3" not in {labels.get("__name__") for labels in far.store.samples}


def test_metadata_are_sent(sender: Sender, far: Far, store: Tsdb) -> None:
    """Types, helps and units of what the store knows."""
    about = {f"m{n}": Metadata("gauge", f"{n}.", "") for n in range(5)}
    with sender.sending(metadata=lambda: about):
        assert eventually(lambda: far.store.metadata() == about)
        assert eventually(lambda: sender.count("metadata_total") == 5)


def test_a_log_that_goes_before_it_is_sent_is_counted(
    sender: Sender, far: Far, store: Tsdb
) -> None:
    """The store does not wait for the far side for ever."""
    with sender.sending():
        scrape(store, 0)
        assert eventually(lambda: points(far) == 20)
    for step in range(1, 200):
        scrape(store, step)
    segments = sorted((sender.folder / "tsdb" / "wal").glob("*.wal"))
    for path in segments[:-1]:
        path.unlink()
    with sender.sending():
        scrape(store, 200)

        assert eventually(lambda: NOW + 200_000 in far.store.samples[ROWS[0]])
        assert sender.count("segments_lost_total") == len(segments) - 1


def test_a_group_that_was_cut_off_is_no_trap(sender: Sender, far: Far, store: Tsdb) -> None:
    """A log that becomes shorter (a full disk) and grows again is read on from a whole record."""
    with sender.sending():
        scrape(store, 0)
        assert eventually(lambda: points(far) == 20)
        wal = max((sender.folder / "tsdb" / "wal").glob("*.wal"))
        whole = wal.read_bytes()
        with wal.open("ab") as file:
            file.write(b"\x40\x00\x00\x00half a record")
        time.sleep(0.3)
        with wal.open("r+b") as file:
            file.truncate(len(whole))
        scrape(store, 1)

        assert eventually(lambda: points(far) == 40)

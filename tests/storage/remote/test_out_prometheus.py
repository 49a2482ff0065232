"""Remote write out to a real Prometheus, which goes away, and from a server that is killed."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.errors import DeliveryError
from model.histogram.pool import HistogramColumn
from model.labels import Labels, Matcher, MatchOp
from model.samples import Exemplar, ScrapeBatch, no_samples
from storage.interface import Hints, Metadata, SeriesSet
from storage.remote.client import RemoteWriteClient
from storage.remote.encode import LayoutEncoder
from storage.remote.out.format_v1 import FormatV1
from storage.remote.out.format_v2 import FormatV2
from storage.remote.out.metrics import OutMetrics
from storage.remote.out.queue import RemoteWriteQueue
from storage.remote.out.shard import Pace
from storage.remote.reader import RemoteQueryable
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.histograms import Histogram, pool_of
from tests.storage.points import points
from tests.storage.remote.prometheus import Prometheus

ROOT = Path(__file__).parents[3]
NOW = 1_767_225_600_000
ROWS = [Labels.of({"__name__": f"m{n % 7}", "job": "x", "i": str(n)}) for n in range(50)]
EVERY = [Matcher("job", MatchOp.EQUAL, "x")]


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.peer
def test_outages_cost_nothing(tmp_path: Path) -> None:
    """While Prometheus is down, killed or started again, what it lacks waits in the log."""
    prometheus = Prometheus(tmp_path / "prometheus")
    prometheus.start()
    settings = TsdbSettings(commit_ms=5, segment_bytes=20_000)
    store = Tsdb(tmp_path / "tsdb", settings, FakeClock(), CollectorRegistry())
    store.start()
    url = f"{prometheus.url}/api/v1/write"
    queue = RemoteWriteQueue(
        tmp_path / "tsdb" / "wal",
        tmp_path / "state.json",
        lambda: RemoteWriteClient(url, 2.0),
        OutMetrics(CollectorRegistry()).of("far", url),
        pace=Pace(batch_send_deadline=0.02, max_samples_per_send=200, max_backoff=0.2),
        min_shards=3,
    )
    queue.start()
    far = RemoteQueryable(f"{prometheus.url}/api/v1/read", 5.0)
    layout = store.layout(ROWS)
    try:
        for step in range(120):
            values = np.arange(50, dtype=np.float64) + step
            store.append(ScrapeBatch(layout, NOW + step * 15_000, values)).wait()
            if step in (20, 60):
                prometheus.stop(kill=step == 60)
            elif step in (40, 80):
                prometheus.start()
            time.sleep(0.01)
        want = points(store.select(EVERY, 0, 1 << 62, Hints()))

        def same() -> bool:
            return points(far.select(EVERY, 0, 1 << 62, Hints())) == want

        assert eventually(same)
    finally:
        queue.stop()
        store.stop()
        far.close()
        prometheus.stop()


@pytest.mark.peer
@pytest.mark.parametrize("version", [1, 2])
def test_prometheus_takes_all_of_it(tmp_path: Path, version: int) -> None:
    """Floats, native histograms, exemplars, with metadata and start timestamps; it confirms each of 2.0."""
    prometheus = Prometheus(tmp_path / "prometheus")
    prometheus.start("--enable-feature=exemplar-storage,metadata-wal-records")
    store = Tsdb(tmp_path / "tsdb", TsdbSettings(commit_ms=5), FakeClock(), CollectorRegistry())
    store.start()
    url = f"{prometheus.url}/api/v1/write"
    registry = CollectorRegistry()
    queue = RemoteWriteQueue(
        tmp_path / "tsdb" / "wal",
        tmp_path / "state.json",
        lambda: RemoteWriteClient(url, 5.0, version=version),
        OutMetrics(registry).of("far", url),
        form=FormatV1() if version == 1 else FormatV2(),
        metadata=lambda: {"latency": Metadata("histogram", "How long it takes.", "seconds")},
        pace=Pace(batch_send_deadline=0.05),
        send_exemplars=True,
        send_histograms=True,
    )
    queue.start()
    latency = Labels.of({"__name__": "latency", "job": "x"})
    pool = pool_of([Histogram(positive={0: 2.0, 3: 6.0}, negative={1: 1.0}, sum=5.0, zero=1.0)])
    trace = Exemplar(Labels.of({"trace_id": "abc"}), 0.5, NOW)

    def sent(kind: str) -> float | None:
        labels = {"remote_name": "far", "url": url}
        return registry.get_sample_value(f"taskscope_remote_storage_{kind}_total", labels)

    try:
        layout = store.layout(ROWS)
        for step in range(5):
            store.append(ScrapeBatch(layout, NOW + step * 1000, np.full(50, float(step))))
        refs = store.series([latency, ROWS[0]])
        values = no_samples(2)
        values[1] = 9.0
        column = HistogramColumn(np.array([0, -1], dtype=np.int32), pool)
        times = np.array([NOW, NOW + 9000])
        starts = np.array([NOW - 1000, NOW - 1000])
        store.append_samples(refs, times, values, start_ms=starts, histograms=column)
        store.append_exemplars(refs, [trace, trace]).wait()

        assert eventually(lambda: sent("samples") == 251)
        assert eventually(lambda: (sent("histograms"), sent("exemplars")) == (1, 2))
        assert len(prometheus.query('{job="x"}', NOW + 4000)) == 51
        assert prometheus.query("histogram_count(latency)", NOW)[0]["value"][1] == "10"
        quantile = prometheus.query("histogram_quantile(0.9, latency)", NOW)[0]["value"][1]
        assert 4 < float(quantile) <= 8
        found = prometheus.exemplars('{job="x"}', NOW - 1000, NOW + 1000)
        assert sorted(one["seriesLabels"]["__name__"] for one in found) == ["latency", "m0"]
        assert {one["exemplars"][0]["labels"]["trace_id"] for one in found} == {"abc"}
    finally:
        queue.stop()
        store.stop()
        prometheus.stop()


class Server:
    """``taskscope server`` that sends on; may be killed."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir()
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "config.yml").write_text(
            f"remote_write:\n"
            f"  - url: {url}\n"
            f"    queue_config: {{batch_send_deadline: 50ms, max_backoff: 200ms}}\n"
            f"    write_relabel_configs: [{{source_labels: [job], regex: x, action: keep}}]\n"
        )

    def start(self) -> None:
        """Return when it takes samples."""
        command = [sys.executable, "-m", "taskscope", "server"]
        command += ["--config", str(self.folder / "config.yml")]
        command += ["--data-dir", str(self.folder / "data"), "--listen", f"127.0.0.1:{self.port}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        assert eventually(self._listens), (self.folder / "log").read_text()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


@pytest.mark.peer
@pytest.mark.slow
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """Every sample that was answered with 204 is in Prometheus in the end, with its value."""
    prometheus = Prometheus(tmp_path / "prometheus")
    prometheus.start()
    server = Server(tmp_path / "server", f"{prometheus.url}/api/v1/write")
    server.start()
    client = RemoteWriteClient(f"http://127.0.0.1:{server.port}/api/v1/write", 5.0)
    far = RemoteQueryable(f"{prometheus.url}/api/v1/read", 5.0)
    encoder = LayoutEncoder(ROWS)
    sent: dict[int, float] = {}
    try:
        for step in range(200):
            if step % 50 == 30:
                server.kill()
                if step == 130:
                    prometheus.stop(kill=True)
                server.start()
                if step == 130:
                    prometheus.start()
            ts = NOW + step * 15_000
            try:
                client.post(encoder.encode(ts, np.full(50, float(step)))[0])
                sent[ts] = float(step)
            except DeliveryError:
                continue  # not acknowledged: it may be there or not
            time.sleep(0.02)

        def all_there() -> bool:
            found = _by_series(far.select(EVERY, 0, 1 << 62, Hints()))
            return len(found) == 50 and all(sent.items() <= held.items() for held in found)

        assert len(sent) > 150
        assert eventually(all_there)
    finally:
        server.kill()
        client.close()
        far.close()
        prometheus.stop()


def _by_series(found: SeriesSet) -> list[dict[int, float]]:
    return [dict(held) for held in points(found).values()]

"""Bytes per sample on disk, and CPU time on the way there, beside a real Prometheus.

    python bench/bench_tsdb_bytes.py [--series 2000] [--histograms 200]

The same samples, two hours at 15 s, go into our store and by remote write into Prometheus (from
``PEERS_BIN``, ~/.cache/taskscope/bin if unset), one kind of data after the other: the realistic mix of
``bench_tsdb.py``, each of its kinds alone, floats of full mantissa, and native histograms of about 20
buckets. Each store then writes a block; its chunks and its index are counted apart, since the index is
shared by all samples of a longer block. CPU-seconds are from the requests to samples that survive a
kill: of Prometheus's process, and of ours with the receiver in it; and of our store alone, from columns.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cramjam
import numpy as np
from msgspec import Struct
from prometheus_client import CollectorRegistry

from bench.bench_tsdb import START_MS, STEP_MS, BenchClock, Matrix, measurements
from model.histogram.pool import HistogramColumn, HistogramPool
from model.labels import Labels
from model.samples import ScrapeBatch, no_samples
from storage.remote.client import RemoteWriteClient
from storage.remote.encode import LayoutEncoder, encode_labels
from storage.remote.receiver import RemoteWriteReceiver
from storage.remote.wire import SERIES_TAG, delimited, varint
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings

BIN = Path(os.environ.get("PEERS_BIN", Path.home() / ".cache/taskscope/bin"))
SCRAPES = 480
TARGET = 100  # series of one target
BUCKETS = 20
FIRST_BUCKET = -20  # of schema 3: ends at about 0.18


class Cost(Struct):
    """What one store took for some data."""

    data: int
    index: int
    cpu: float


class Histograms(Struct):
    """Some series of native histograms; shapes (scrapes, series, buckets) and (scrapes, series)."""

    buckets: Matrix
    sums: Matrix


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--histograms", type=int, default=200)
    args = parser.parse_args()
    every: dict[str, Matrix | Histograms] = {
        "realistic mix": mix(args.series, np.arange(5)),
        "counters": mix(args.series // 2, np.array([0])),
        "byte gauges": mix(args.series // 2, np.array([1])),
        "ratios, two places": mix(args.series // 2, np.array([2])),
        "constants": mix(args.series // 2, np.array([3])),
        "CPU seconds, six places": mix(args.series // 2, np.array([4])),
        "full-mantissa noise": np.random.default_rng(7).normal(size=(SCRAPES, args.series // 2)),
        "histograms of 20 buckets": histograms(args.histograms),
    }
    print(f"{'':24} {'ours':>13} {'Prometheus':>13} {'ratio':>5}  CPU-s per million")
    print(f"{'':24} {'data + index':>13} {'data + index':>13} {'data':>5} ours theirs ratio store")
    for name, data in every.items():
        samples = len(data) * data.shape[1] if isinstance(data, np.ndarray) else data.sums.size
        ours, theirs, alone = our_cost(data), their_cost(data), store_cpu(data)
        print(
            f"{name:24} {per(ours, samples):>13} {per(theirs, samples):>13}"
            f" {ours.data / theirs.data:5.2f} {ours.cpu / samples * 1e6:5.2f}"
            f" {theirs.cpu / samples * 1e6:6.2f} {ours.cpu / theirs.cpu:5.2f}"
            f" {alone / samples * 1e6:5.2f}",
            flush=True,
        )


def per(cost: Cost, samples: int) -> str:
    """Return bytes per sample."""
    return f"{cost.data / samples:.2f} + {cost.index / samples:.2f}"


def mix(series: int, kinds: np.ndarray) -> Matrix:
    """Return some kinds of the realistic mix, shape (scrapes, series)."""
    whole = measurements(SCRAPES, series * 5 // len(kinds), 11)
    return whole[:, np.isin(np.arange(whole.shape[1]) // 10 % 5, kinds)][:, :series]


def histograms(series: int) -> Histograms:
    """Return latencies as they are counted: about log-normal, 1 to 40 a second over all series."""
    rng = np.random.default_rng(3)
    share = np.exp(-0.5 * ((np.arange(BUCKETS) - 10) / 3.5) ** 2)
    rate = rng.uniform(1, 40, series)[:, None] * share / share.sum()
    counts = rng.poisson(rate, (SCRAPES, series, BUCKETS))
    middle = 2.0 ** ((FIRST_BUCKET + np.arange(BUCKETS) - 0.5) / 8)
    spread = rng.uniform(0.97, 1.03, (SCRAPES, series))
    return Histograms(
        np.cumsum(counts, axis=0).astype(np.float64), np.cumsum(counts @ middle * spread, axis=0)
    )


def labels_of(series: int) -> list[Labels]:
    """Return label sets: ten series to a metric, TARGET series to an instance."""
    return [
        Labels.of(
            {
                "__name__": f"bench_{i % TARGET // 10}",
                "code": str(i % 10),
                "instance": f"10.0.0.{i // TARGET}:9100",
                "job": "bench",
            }
        )
        for i in range(series)
    ]


@contextmanager
def our_store() -> Iterator[tuple[Tsdb, BenchClock, Path]]:
    """Open a store of its own."""
    with tempfile.TemporaryDirectory() as name:
        clock = BenchClock()
        clock.now = START_MS
        settings = TsdbSettings(maintain_seconds=3600.0, retention_ms=0)
        db = Tsdb(Path(name), settings, clock, CollectorRegistry())
        db.start()
        try:
            yield db, clock, Path(name)
        finally:
            db.stop()


def our_cost(data: Matrix | Histograms) -> Cost:
    """Take the requests in here and write a block."""
    bodies = [bytes(cramjam.snappy.compress_raw(body)) for body in requests(data)]
    with our_store() as (db, clock, directory):
        receiver = RemoteWriteReceiver(db, CollectorRegistry())
        began = time.process_time()
        for scrape, body in enumerate(bodies):
            clock.now = START_MS + scrape * STEP_MS
            receiver.ingest(body)
        db.flush()
        cpu = time.process_time() - began
        clock.now += 4 * 3_600_000
        db.maintain()
        blocks = directory / "blocks"
        frames = sum(path.stat().st_size for path in blocks.glob("*/frames"))
        return Cost(frames, size_of(blocks) - frames, cpu)


def store_cpu(data: Matrix | Histograms) -> float:
    """Append the data as columns."""
    with our_store() as (db, clock, _):
        put = histograms_into(db, data) if isinstance(data, Histograms) else floats_into(db, data)
        began = time.process_time()
        for scrape in range(SCRAPES):
            clock.now = START_MS + scrape * STEP_MS
            put(scrape, clock.now)
        db.flush()
        return time.process_time() - began


def floats_into(db: Tsdb, data: Matrix) -> Callable[[int, int], None]:
    """Return what appends one scrape of every target."""
    labels = labels_of(data.shape[1])
    firsts = range(0, len(labels), TARGET)
    layouts = [db.layout(labels[first : first + TARGET]) for first in firsts]

    def put(scrape: int, now: int) -> None:
        for layout, first in zip(layouts, firsts, strict=True):
            db.append(ScrapeBatch(layout, now, data[scrape, first : first + TARGET]))

    return put


def histograms_into(db: Tsdb, data: Histograms) -> Callable[[int, int], None]:
    """Return what appends one histogram of every series, as a remote write request brings them."""
    series = data.sums.shape[1]
    refs = db.series(labels_of(series))
    index = np.arange(series, dtype=np.int32)
    pools = [pool_of(*one) for one in zip(data.buckets, data.sums, strict=True)]

    def put(scrape: int, now: int) -> None:
        column = HistogramColumn(index, pools[scrape])
        db.append_samples(refs, np.full(series, now), no_samples(series), histograms=column)

    return put


def pool_of(buckets: Matrix, sums: Matrix) -> HistogramPool:
    """Return one scrape's histograms."""
    size = len(sums)
    return HistogramPool(
        schema=np.full(size, 3, dtype=np.int32),
        count=buckets.sum(axis=1),
        sum=sums,
        zero_count=np.zeros(size),
        zero_threshold=np.full(size, 2.0**-128),
        hint=np.zeros(size, dtype=np.int8),
        first=np.full(size, FIRST_BUCKET, dtype=np.int32),
        positive=buckets,
        negative_first=np.zeros(size, dtype=np.int32),
        negative=np.zeros((size, 0)),
        bounds=np.zeros((size, 0)),
    )


def their_cost(data: Matrix | Histograms) -> Cost:
    """Store the data in Prometheus and let it write a snapshot."""
    with prometheus() as (port, process, directory):
        client = RemoteWriteClient(f"http://127.0.0.1:{port}/api/v1/write")
        wait_for(lambda: ready(port))
        bodies = list(requests(data))
        began = cpu_seconds(process.pid)
        for body in bodies:
            client.post(body)
        cpu = cpu_seconds(process.pid) - began
        client.close()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", "/api/v1/admin/tsdb/snapshot")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        snapshot = directory / "data/snapshots" / answer["data"]["name"]
        chunks = sum(path.stat().st_size for path in snapshot.glob("*/chunks/*"))
        return Cost(chunks, size_of(snapshot) - chunks, cpu)


def requests(data: Matrix | Histograms) -> Iterator[bytes]:
    """Yield remote write requests, one a scrape."""
    if isinstance(data, Histograms):
        labels = [encode_labels(one) for one in labels_of(data.sums.shape[1])]
        for scrape in range(SCRAPES):
            now = START_MS + scrape * STEP_MS
            yield b"".join(
                delimited(SERIES_TAG, one + delimited(0x22, encoded(counts, total, now)))
                for one, counts, total in zip(
                    labels, data.buckets[scrape], data.sums[scrape], strict=True
                )
            )
        return
    encoder = LayoutEncoder(labels_of(data.shape[1]))
    for scrape in range(SCRAPES):
        yield encoder.encode(START_MS + scrape * STEP_MS, data[scrape])[0]


def encoded(counts: Matrix, total: float, now: int) -> bytes:
    """Return a histogram message of remote write 1.0."""
    deltas = np.diff(counts.astype(np.int64), prepend=0)
    zigzag = b"".join(varint(int(d) * 2 if d >= 0 else -2 * int(d) - 1) for d in deltas)
    span = b"\x08" + varint(-2 * FIRST_BUCKET - 1) + b"\x10" + varint(len(counts))
    return b"".join(
        [
            b"\x08" + varint(int(counts.sum())),
            b"\x19" + np.float64(total).tobytes(),
            b"\x20" + varint(3 * 2),
            b"\x29" + np.float64(2.0**-128).tobytes(),
            delimited(0x5A, span),
            delimited(0x62, zigzag),
            b"\x78" + varint(now),
        ]
    )


@contextmanager
def prometheus() -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    """Run a Prometheus of its own."""
    directory = Path(tempfile.mkdtemp())
    (directory / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        str(BIN / "prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--storage.tsdb.retention.time=100y",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as process:
        try:
            yield port, process, directory
        finally:
            process.terminate()
            process.wait(30)
            shutil.rmtree(directory)


def ready(port: int) -> bool:
    """Tell whether Prometheus answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait up to 30 s."""
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("Prometheus did not become ready")
        time.sleep(0.1)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def size_of(directory: Path) -> int:
    """Return the bytes of all files below."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()

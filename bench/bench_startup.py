"""Start-up beside Prometheus: blocks and a full write-ahead log on disk, until /-/ready answers.

    python bench/bench_startup.py [--gigabytes 0.1] [--series 2000] [--reps 3] [--peers ours,store,prometheus]

Both get the same samples: one block of two hours made by ``promtool`` (theirs) and by the store
(ours), copied until Prometheus's copies take so many gigabytes, and two hours of scrapes in the log
(Prometheus's written by a Prometheus that was sent them). Every process is measured whole, from
outside; runs alternate. ``store`` is our store alone, without the libraries and the rest of the
server. ``--gigabytes 1 --series 10000`` is the real one; making its data takes minutes.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import cramjam
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prometheus_client import CollectorRegistry

from bench.bench_scrape import BIN, cpu_seconds, free_port, memory_mb
from model.labels import Labels
from model.samples import Floats, ScrapeBatch
from storage.remote.encode import encode_labels, encode_samples
from storage.tsdb.block import Block
from storage.tsdb.blockmeta import encode_meta, read_meta
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings

ROOT = Path(__file__).resolve().parents[1]
STEP_MS = 15_000
COLUMNS = 480  # two hours
WINDOW_MS = STEP_MS * COLUMNS
TARGETS = 20


class At:
    """A clock that stands still."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def now_ns(self) -> int:
        return self.ms * 1_000_000

    def monotonic(self) -> float:
        return 0.0


def series_of(number: int) -> list[Labels]:
    """Return the series: a handful of metrics, twenty targets."""
    return [
        Labels.of(
            {
                "__name__": f"metric_{i // TARGETS % 40}",
                "instance": f"host{i % TARGETS:02d}:9100",
                "job": "node",
                "path": f"/p/{i // TARGETS // 40}",
            }
        )
        for i in range(number)
    ]


def values_of(number: int) -> Floats:
    """Return counters and gauges of two decimals, shape (series, COLUMNS)."""
    rng = np.random.default_rng(1)
    counters = np.cumsum(rng.integers(0, 50, (number, COLUMNS)), axis=1).astype(np.float64)
    gauges = np.round(50 + np.cumsum(rng.normal(0, 1, (number, COLUMNS)), axis=1), 2)
    return np.where(np.arange(number)[:, None] % 2 == 0, counters, gauges)


def fill_ours(store: Tsdb, labels: Sequence[Labels], values: Floats, first_ms: int) -> None:
    """Scrape twenty targets for two hours."""
    rows = [np.flatnonzero(np.arange(len(labels)) % TARGETS == t) for t in range(TARGETS)]
    layouts = [store.layout([labels[i] for i in mine.tolist()]) for mine in rows]
    for column in range(COLUMNS):
        for layout, mine in zip(layouts, rows, strict=True):
            ts = first_ms + column * STEP_MS
            store.append(ScrapeBatch(layout, ts, np.ascontiguousarray(values[mine, column])))
        if column % 20 == 0:
            store.flush()
    store.flush()


def make_ours(folder: Path, labels: Sequence[Labels], values: Floats, copies: int, now: int) -> int:
    """Make our data and return the size of its blocks."""
    first = (now // WINDOW_MS - 1) * WINDOW_MS
    clock = At(first - 60_000)
    settings = TsdbSettings(block_delay_ms=0, maintain_seconds=3600.0, reserve_bytes=0)
    store = Tsdb(folder, settings, clock, CollectorRegistry())
    store.start()
    fill_ours(store, labels, values, first - WINDOW_MS)
    clock.ms = first + 1
    store.maintain()
    fill_ours(store, labels, values, first)
    store.stop()
    (path,) = (folder / "blocks").iterdir()
    meta = read_meta(path / "meta.json")
    text = json.loads(encode_meta(meta))
    for number in range(2, copies + 1):
        copy = path.with_name(f"{number:010d}")
        shutil.copytree(path, copy)
        back = (copies - number) * WINDOW_MS
        row = {k: v for k, v in text.items() if k != "crc32"}
        row.update(sequence=number, mint=meta.mint - back, maxt=meta.maxt - back)
        (copy / "meta.json").write_text(json.dumps(row))
    return sum(Block(one).size_bytes for one in (folder / "blocks").iterdir())


def make_prometheus(folder: Path, labels: Sequence[Labels], values: Floats, gigabytes: float, now: int) -> int:  # fmt: skip
    """Make Prometheus's data and return the number of copies of its block."""
    first = (now // WINDOW_MS - 1) * WINDOW_MS
    text = folder.with_suffix(".txt")
    names: dict[str, list[int]] = {}
    for row, one in enumerate(labels):
        names.setdefault(one.get("__name__"), []).append(row)
    with text.open("w", encoding="utf-8") as out:
        for name, rows in names.items():
            out.write(f"# TYPE {name} gauge\n")
            for row in rows:
                rest = ",".join(f'{k}="{v}"' for k, v in labels[row] if k != "__name__")
                head = f"{name}{{{rest}}}"
                stamps = (first - WINDOW_MS + np.arange(COLUMNS) * STEP_MS) // 1000
                pairs = zip(values[row].tolist(), stamps.tolist(), strict=True)
                out.writelines(f"{head} {value} {ts}\n" for value, ts in pairs)
        out.write("# EOF\n")
    subprocess.run(
        [BIN / "promtool", "tsdb", "create-blocks-from", "openmetrics", text, folder],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    text.unlink()
    (path,) = (one for one in folder.iterdir() if (one / "meta.json").exists())
    size = sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    copies = max(1, int(gigabytes * 1e9 / size))
    meta = json.loads((path / "meta.json").read_text())
    for number in range(1, copies):
        name = path.name[:-6] + f"{number:06d}"
        copy = path.with_name(name)
        shutil.copytree(path, copy)
        back = number * WINDOW_MS
        moved = {"ulid": name, "minTime": meta["minTime"] - back, "maxTime": meta["maxTime"] - back}
        (copy / "meta.json").write_text(json.dumps({**meta, **moved}))
    port = free_port()
    process = subprocess.Popen(
        [*prometheus(folder, port), "--web.enable-remote-write-receiver"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_ready(port)
    encoded = [encode_labels(one) for one in labels]
    for column in range(COLUMNS):
        times = np.full(len(labels), first + column * STEP_MS)
        message, _ = encode_samples(encoded, times, np.ascontiguousarray(values[:, column]))
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/write",
            bytes(cramjam.snappy.compress_raw(message)),
            {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"},
        )
        urllib.request.urlopen(request, timeout=30).close()
    process.terminate()
    process.wait(60)
    return copies


def prometheus(folder: Path, port: int) -> list[str]:
    """Return how Prometheus is started."""
    config = folder.with_suffix(".yml")
    config.write_text("global: {scrape_interval: 1h}\n")
    return [
        str(BIN / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}",
        "--storage.tsdb.retention.time=3650d", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        "--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h",
    ]  # fmt: skip


def ours(folder: Path, port: int) -> list[str]:
    """Return how we are started: the whole server."""
    config = folder.with_suffix(".ours.yml")
    config.write_text("storage: {retention_days: 0}\n")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from taskscope.cli.main import main; main()"
    return [
        sys.executable, "-c", code, str(ROOT), "server", "--config", str(config),
        "--data-dir", str(folder), "--listen", f"127.0.0.1:{port}",
    ]  # fmt: skip


def wait_ready(port: int) -> None:
    """Return when the server says that it is ready."""
    for _ in range(60_000):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.005)
    raise SystemExit("the server did not become ready")


def measure(command: Sequence[str], port: int) -> dict[str, float]:
    """Start one peer once; it is killed, so that the next start finds the same log."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_ready(port)
    wall = time.monotonic() - began
    cpu, (resident, _) = cpu_seconds(process.pid), memory_mb(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    return {"wall": wall, "cpu": cpu, "rss": resident}


def start_store(folder: Path, now: int) -> None:
    """Start the store alone and print what it took; libraries are loaded before."""
    settings = TsdbSettings(retention_ms=0, maintain_seconds=3600.0)
    store = Tsdb(folder, settings, At(now), CollectorRegistry())
    began, cpu = time.monotonic(), time.process_time()
    store.start()
    took = {"wall": time.monotonic() - began, "cpu": time.process_time() - cpu}
    print(json.dumps({**took, "rss": memory_mb(os.getpid())[0]}))
    store.stop()


def measure_store(folder: Path, now: int) -> dict[str, float]:
    """Start our store alone in a process of its own."""
    command = [sys.executable, __file__, "--store", str(folder), "--now", str(now)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(found.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=0.1)
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--peers", default="ours,store,prometheus")
    parser.add_argument("--store", default="", help=argparse.SUPPRESS)
    parser.add_argument("--now", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.store:
        start_store(Path(args.store), args.now)
        return
    labels, values = series_of(args.series), values_of(args.series)
    now = int(time.time() * 1000)
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as scratch:
        theirs, mine = Path(scratch) / "prometheus", Path(scratch) / "ours"
        theirs.mkdir()
        mine.mkdir()
        copies = make_prometheus(theirs, labels, values, args.gigabytes, now)
        size = make_ours(mine / "tsdb", labels, values, copies, now)
        rows: dict[str, list[dict[str, float]]] = {}
        for _ in range(args.reps):
            for peer in args.peers.split(","):
                if peer == "store":
                    rows.setdefault(peer, []).append(measure_store(mine / "tsdb", now))
                    continue
                port = free_port()
                start = ours(mine, port) if peer == "ours" else prometheus(theirs, port)
                rows.setdefault(peer, []).append(measure(start, port))
    print(
        f"{copies} blocks of {args.series} series: {args.gigabytes:g} GB at Prometheus, {size / 1e9:.3f} GB here; "
        f"{COLUMNS} scrapes of all in the log"
    )
    print(f"{'':12} {'ready after s':>14} {'CPU s':>7} {'RSS MB':>7}   (runs)")
    for peer, runs in rows.items():
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        every = " ".join(f"{run['wall']:.2f}" for run in runs)
        print(
            f"{peer:12} {medians['wall']:14.2f} {medians['cpu']:7.2f} {medians['rss']:7.0f}   {every}"
        )


if __name__ == "__main__":
    main()

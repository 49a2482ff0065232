"""OTLP metrics in, beside Prometheus: CPU-seconds of the server process per million data points.

    python bench/bench_otlp.py [--resources 20] [--steps 20] [--reps 2] [--orders 1] [--peers ours,prometheus]

Each resource exports 500 points at a time: 200 gauges, 200 cumulative sums and 100 explicit histograms
of ten bounds (with min and max), in protobuf; in the same order each time as
Python's and Java's SDK, or with ``--orders 7`` in changing ones as Go's. The first export makes the series and is given for itself. Servers and
measuring are those of bench_remote_write.py.
"""

import argparse
import http.client
import shutil
import statistics
import struct
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bench_remote_write import SETTLE_SECONDS, cpu_seconds, free_port, peak_mb, running
from tests.storage.otlp.payload import attributes, protobuf

GAUGES, SUMS, HISTOGRAMS = 200, 200, 100
POINTS = GAUGES + SUMS + HISTOGRAMS
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]
TIME = struct.pack("<Q", 0x1122334455667788)  # stands where the time is filled in
VALUE = struct.pack("<d", 1.2345678901234567e89)
NS = 1_000_000_000


def message(resource: int, start_ns: int, order: np.random.Generator | None) -> bytes:
    """Return one export of a resource, with marks for times and values."""

    def point(n: int, **fields: Any) -> dict[str, Any]:
        names = {"http.route": f"/api/v1/thing/{n % 50}", "http.method": "GET", "shard": str(n)}
        (at,) = struct.unpack("<Q", TIME)
        times = {"start_time_unix_nano": start_ns, "time_unix_nano": at}
        return {**times, "attributes": attributes(names), **fields}

    def ordered(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return points if order is None else [points[n] for n in order.permutation(len(points))]

    (value,) = struct.unpack("<d", VALUE)
    metrics = []
    for kind, name, count in (("gauge", "queue.size", GAUGES), ("sum", "requests", SUMS)):
        for family in range(10):
            points = [point(n, as_double=value) for n in range(count // 10)]
            data: dict[str, Any] = {"data_points": ordered(points)}
            if kind == "sum":
                data |= {"aggregation_temporality": 2, "is_monotonic": True}
            about = {"name": f"app.{name}.{family}", "unit": "1", "description": "As it says."}
            metrics.append({**about, kind: data})
    for family in range(5):
        points = [
            point(
                n,
                count=110,
                sum=value,
                explicit_bounds=BOUNDS,
                bucket_counts=[10] * 11,
                min=value,
                max=value,
            )
            for n in range(HISTOGRAMS // 5)
        ]
        data = {"data_points": ordered(points), "aggregation_temporality": 2}
        metrics.append({"name": f"app.duration.{family}", "unit": "s", "histogram": data})
    who = attributes(
        {
            "service.namespace": "shop",
            "service.name": f"service-{resource}",
            "service.instance.id": f"task-{resource}",
            "host.name": "node-1",
        }
    )
    scope = {"metrics": metrics}
    return protobuf(
        {"resource_metrics": [{"resource": {"attributes": who}, "scope_metrics": [scope]}]}
    )


class Export:
    """A message whose times and values are filled in anew each time."""

    def __init__(self, data: bytes, random: np.random.Generator) -> None:
        self._data = np.frombuffer(data, np.uint8)
        self._times = self._places(data, TIME)
        self._values = self._places(data, VALUE)
        self._held = random.uniform(0, 1e6, len(self._values))
        self._random = random

    @staticmethod
    def _places(data: bytes, mark: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
        found, at = [], data.find(mark)
        while at >= 0:
            found.append(at)
            at = data.find(mark, at + 8)
        return np.array(found)[:, None] + np.arange(8)

    def at(self, time_ns: int) -> bytes:
        """Return the message for a time."""
        self._held += self._random.integers(0, 100, len(self._held))
        out = self._data.copy()
        out[self._times] = np.frombuffer(struct.pack("<Q", time_ns), np.uint8)
        out[self._values] = self._held.view(np.uint8).reshape(-1, 8)
        return out.tobytes()


def send(port: int, exports: Sequence[Export], time_ns: int) -> None:
    """Send one export of every resource."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for export in exports:
        kind = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/api/v1/otlp/v1/metrics", export.at(time_ns), kind)
        response = connection.getresponse()
        said = response.read()
        if response.status != 200 or said:
            raise SystemExit(f"{response.status}: {said!r}")
    connection.close()


def one_run(peer: str, resources: int, steps: int, orders: int) -> dict[str, float]:
    """Measure one peer once."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-otlp-{peer}-"))
    random = np.random.default_rng(1)
    end = int(time.time()) // 15 * 15
    start = end - 15 * steps
    exports = [
        [
            Export(message(n, (start - 60) * NS, random if k else None), random)
            for n in range(resources)
        ]
        for k in range(orders)
    ]
    port = free_port()
    try:
        with running(peer, folder, port) as pid:
            time.sleep(1)
            before = cpu_seconds(pid)
            send(port, exports[0], start * NS)
            time.sleep(1)
            new = cpu_seconds(pid)
            began = time.monotonic()
            for step in range(1, steps + 1):
                send(port, exports[step % orders], (start + 15 * step) * NS)
            wall = time.monotonic() - began
            time.sleep(SETTLE_SECONDS)
            spent = cpu_seconds(pid) - new
            points = resources * POINTS * steps
            return {
                "cpu_s_per_million": spent / points * 1e6,
                "new_series_cpu_s": new - before,
                "points_per_s": points / wall,
                "peak_mb": peak_mb(pid),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--reps", type=int, default=2)
    parser.add_argument("--orders", type=int, default=1)
    parser.add_argument("--peers", default="ours,prometheus")
    asked = parser.parse_args(argv)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(asked.reps):
        for peer in asked.peers.split(","):
            found[peer].append(one_run(peer, asked.resources, asked.steps, asked.orders))
            print(peer, {name: round(value, 3) for name, value in found[peer][-1].items()})
    middle = {
        peer: statistics.median(run["cpu_s_per_million"] for run in runs)
        for peer, runs in found.items()
    }
    for peer, value in middle.items():
        print(f"{peer}: {value:.2f} CPU-seconds per million points")
    if {"ours", "prometheus"} <= middle.keys():
        print(f"ours / prometheus: {middle['ours'] / middle['prometheus']:.2f}")


if __name__ == "__main__":
    main()

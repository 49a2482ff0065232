"""CPU time of Taskscope's server beside Prometheus's for the same queries over HTTP, interleaved.

    python -m bench.bench_web_peer [--series 1000] [--rounds 5]

Both get the same hour of samples by remote write. Prints CPU milliseconds of the server process for
each answer (median of the rounds), and the quotient. Needs ``prometheus`` as the tests do.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from model.labels import METRIC_NAME, Labels
from taskscope.clock import SystemClock
from tests.web.peers import Peer, Written, free_port, prometheus

STEP_MS = 15_000
STEPS = 240
BATCH = 200
CONFIG = "alerting: {shipped_rules: false}\ndiscovery: {docker: {enabled: false}}\n"
# query, whether it is a range query, how often a round asks it
WORK = (
    ("m", True, 10),
    ("rate(m[1m])", True, 10),
    ("sum by (app) (rate(m[1m]))", True, 20),
    ("m", False, 40),
    ("sum by (app) (m)", False, 100),
)


@contextmanager
def ours(folder: Path) -> Iterator[tuple[Peer, int]]:
    """Run Taskscope's server in a process of its own."""
    config, port = folder / "taskscope.yml", free_port()
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "taskscope", "server", "--config", str(config)]
    command += ["--listen", f"127.0.0.1:{port}", "--data-dir", str(folder / "own")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peer = Peer(f"http://127.0.0.1:{port}")
        try:
            peer.wait(peer.is_ready)
            yield peer, process.pid
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(peers: list[Peer], count: int, end_ms: int) -> None:
    """Write counters, values of two decimals and noise to all."""
    rng = np.random.default_rng(1)
    times = [end_ms - STEP_MS * (STEPS - 1 - k) for k in range(STEPS)]
    for begin in range(0, count, BATCH):
        batch = {}
        for i in range(begin, min(count, begin + BATCH)):
            values = rng.normal(10, 3, STEPS)
            if i % 10:
                values = np.cumsum(rng.poisson(12, STEPS)) if i % 2 else np.round(values, 2)
            labels = {METRIC_NAME: "m", "app": f"app-{i % 50}", "task_id": f"{i:064x}"}
            points = list(zip(times, values.astype(float).tolist(), strict=True))
            batch[Labels.of(labels)] = Written(points)
        for peer in peers:
            peer.write(batch)


def measure(sides: list[tuple[Peer, int]], rounds: int, end_ms: int) -> None:
    """Ask everything of both in turn and print."""
    print(f"{'query':<40}{'MB':>8}{'Prometheus':>12}{'ours':>8}{'quotient':>10}   CPU ms")
    end = end_ms / 1000
    for query, is_range, times in WORK:
        asked = {"query": query, "time": end}
        if is_range:
            asked = {"query": query, "start": end - 3585, "end": end, "step": 15}
        path = "query_range" if is_range else "query"
        spent: list[list[float]] = [[], []]
        size = 0
        for _ in range(rounds):
            for (peer, pid), found in zip(sides, spent, strict=True):
                began = cpu_seconds(pid)
                for _ in range(times):
                    size = len(peer.ask(path, asked).text)
                found.append((cpu_seconds(pid) - began) / times * 1000)
        theirs, own = map(statistics.median, spent)
        name = f"{query} {'(1 h)' if is_range else ''}"
        print(f"{name:<40}{size / 1e6:>8.2f}{theirs:>12.1f}{own:>8.1f}{own / theirs:>10.2f}")


def main() -> None:
    """Start both, fill them, measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--series", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    end_ms = SystemClock().now_ns() // 1_000_000 // STEP_MS * STEP_MS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with prometheus(folder, config="") as theirs, ours(folder) as own:
            fill([theirs, own[0]], given.series, end_ms)
            measure([(theirs, theirs.pid), own], given.rounds, end_ms)


if __name__ == "__main__":
    main()

"""Scrape ingestion beside Prometheus: CPU-seconds per million samples, write-ahead log included.

    python bench/bench_scrape.py [--targets 50] [--series 1000] [--seconds 12] [--reps 2] [--peers ours,prometheus]

Targets, with lines of about 290 bytes, come from the load generator in ../shared/bench (built with
Go on first use); Prometheus from PEERS_BIN (default: the test suite's cache). Every process is
measured whole, from outside, by /proc; runs of the peers alternate.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "../shared/bench/bgen"
BIN = Path(os.environ.get("PEERS_BIN", Path.home() / ".cache/taskscope/bin"))
STAGES = ("fetch", "parse")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def memory_mb(pid: int) -> tuple[float, float]:
    """Return resident and anonymous memory of a process, MiB."""
    said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(round(int(said[key].split()[0]) / 1024, 1) for key in ("VmRSS", "RssAnon"))  # type: ignore[return-value]


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], cpu: int | None = None) -> Iterator[int]:
    """Run a process until the end of the block; yields its pid."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if cpu is not None:
        os.sched_setaffinity(process.pid, {cpu})
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def generated(port: int) -> int:
    """Return the samples that the generator has served so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5) as answer:
        return int(json.load(answer)["samples"])


def stage_seconds(folder: Path) -> list[float]:
    """Return the CPU time of our stages so far; zeros for a peer."""
    try:
        spent = json.loads((folder / "stages.json").read_text())
    except (OSError, ValueError):
        return [0.0] * len(STAGES)
    return [spent[stage] or 0.0 for stage in STAGES]


def built_generator() -> str:
    """Return the load generator, building it if need be."""
    made = BIN / "bgen"
    if not made.exists():
        subprocess.run(["go", "build", "-o", str(made), "."], cwd=GENERATOR, check=True)
    return str(made)


def scrape_config(path: Path, port: int, targets: int) -> None:
    """Write Prometheus's configuration; ours reads the same numbers."""
    lines = [
        f"  - {{targets: ['127.0.0.1:{port}'], labels: {{__metrics_path__: /t/{i}/metrics, instance: host{i:03d}}}}}"
        for i in range(targets)
    ]
    head = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: cadvisor\n  static_configs:\n"
    path.write_text(head + "\n".join(lines) + "\n")


def command(peer: str, folder: Path, port: int, targets: int) -> list[str]:
    """Return how a peer is started."""
    if peer == "ours":
        return [
            sys.executable, __file__, "--serve", str(folder), "--port", str(port),
            "--targets", str(targets),
        ]  # fmt: skip
    config = folder / "prometheus.yml"
    scrape_config(config, port, targets)
    return [
        str(BIN / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{free_port()}", "--log.level=error",
    ]  # fmt: skip


def measure(peer: str, args: argparse.Namespace) -> dict[str, float]:
    """Run one peer once."""
    folder = Path(tempfile.mkdtemp(prefix="bench-scrape-"))
    port = free_port()
    load = [
        built_generator(), "targets", "-listen", f"127.0.0.1:{port}",
        "-n", str(args.targets), "-series", str(args.series),
    ]  # fmt: skip
    try:
        with running(load, cpu=os.cpu_count() - 1 if os.cpu_count() else None):  # type: ignore[operator]
            time.sleep(1)
            with running(command(peer, folder, port, args.targets)) as pid:
                time.sleep(args.warm)  # all series are known then
                stages = stage_seconds(folder)
                samples, cpu, began = generated(port), cpu_seconds(pid), time.time()
                time.sleep(args.seconds)
                samples, cpu = generated(port) - samples, cpu_seconds(pid) - cpu
                wall = time.time() - began
                stages = [b - a for a, b in zip(stages, stage_seconds(folder), strict=True)]
                resident, anonymous = memory_mb(pid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "cpu_s_per_million": cpu / samples * 1e6,
        "on_time": samples / (args.targets * args.series * wall),
        "rss_mb": resident,
        "anon_mb": anonymous,
        **{name: spent / samples * 1e6 for name, spent in zip(STAGES, stages, strict=True)},
    }


def serve(args: argparse.Namespace) -> None:
    """Be the measured process: our scrape path over the embedded store."""
    from prometheus_client import CollectorRegistry

    from collector.scrape.discovery import ScrapeConfig, StaticConfig
    from collector.scrape.manager import ScrapeManager
    from collector.scrape.target import ScrapeJob
    from model.task import Task
    from storage.tsdb.db import Tsdb
    from storage.tsdb.settings import TsdbSettings
    from taskscope.memory import one_arena

    class NoTasks:
        """A source of tasks that has none."""

        def snapshot(self) -> frozenset[Task]:
            return frozenset()

        def watch(self, stop: threading.Event) -> Iterator[frozenset[Task]]:
            yield frozenset()
            stop.wait()

    class RealClock:
        """The time as it is."""

        def now_ns(self) -> int:
            return time.time_ns()

        def monotonic(self) -> float:
            return time.monotonic()

    sys.setswitchinterval(0.0005)
    one_arena()
    registry, clock = CollectorRegistry(), RealClock()
    store = Tsdb(Path(args.serve) / "tsdb", TsdbSettings(), clock, registry)
    store.start()
    job = ScrapeJob("cadvisor", interval_seconds=1.0, timeout_seconds=1.0)
    static = tuple(
        StaticConfig(
            (f"127.0.0.1:{args.port}",),
            {"__metrics_path__": f"/t/{i}/metrics", "instance": f"host{i:03d}"},
        )
        for i in range(args.targets)
    )
    manager = ScrapeManager(
        NoTasks(), store, [ScrapeConfig(job, static)], clock, registry, parsers=args.parsers
    )
    manager.start()
    name = "taskscope_collector_scrape_cpu_seconds_total"
    while True:
        spent = {stage: registry.get_sample_value(name, {"stage": stage}) for stage in STAGES}
        (Path(args.serve) / "stages.json").write_text(json.dumps(spent))
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--warm", type=float, default=6.0)
    parser.add_argument("--reps", type=int, default=2)
    parser.add_argument("--parsers", type=int, default=2)
    parser.add_argument("--peers", default="ours,prometheus")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args)
        return
    rows: dict[str, list[dict[str, float]]] = {}
    for _ in range(args.reps):
        for peer in args.peers.split(","):
            rows.setdefault(peer, []).append(measure(peer, args))
    print(f"{args.targets} targets x {args.series} series each second, {args.reps} runs")
    print(
        f"{'':12} {'CPU-s per million':>18} {'(runs)':>16} {'on time':>8} {'RSS MB':>7} {'anon':>6}"
    )
    for peer, runs in rows.items():
        all_runs = " ".join(f"{run['cpu_s_per_million']:.2f}" for run in runs)
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"{peer:12} {medians['cpu_s_per_million']:18.2f} {all_runs:>16} "
            f"{medians['on_time']:8.2f} {medians['rss_mb']:7.0f} {medians['anon_mb']:6.0f} "
            f"{medians['fetch']:6.2f} {medians['parse']:12.2f}"
        )


if __name__ == "__main__":
    main()

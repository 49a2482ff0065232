"""Remote write in, beside Prometheus: CPU-seconds of the server process per million samples.

    python bench/bench_remote_write.py [--series 10000] [--steps 150] [--reps 2] [--peers ours,prometheus]

Requests (1.0, 2,000 samples each, cAdvisor's series) come from the load generator in ../shared/bench
(built with Go on first use); ours is ``taskscope server``, Prometheus is from PEERS_BIN (default: the
test suite's cache). The first timestamp makes the series and is given for itself. Every process is
measured whole, from outside, by /proc, until all it took has settled; runs of the peers alternate.
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
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "../shared/bench/bgen"
BIN = Path(os.environ.get("PEERS_BIN", Path.home() / ".cache/taskscope/bin"))
TICKS = os.sysconf("SC_CLK_TCK")
SETTLE_SECONDS = 3


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def peak_mb(pid: int) -> float:
    """Return the largest resident memory of a process so far, MiB."""
    said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return round(int(said["VmHWM"].split()[0]) / 1024, 1)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(peer: str, folder: Path, port: int) -> list[str]:
    """Return how a peer is started."""
    if peer == "ours":
        return [
            sys.executable, "-m", "taskscope", "server",
            "--data-dir", str(folder / "data"), "--listen", f"127.0.0.1:{port}",
        ]  # fmt: skip
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 15s}\n")
    return [
        str(BIN / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
        "--web.enable-otlp-receiver", "--log.level=error",
    ]  # fmt: skip


@contextlib.contextmanager
def running(peer: str, folder: Path, port: int) -> Iterator[int]:
    """Run a peer until the end of the block; yields its pid once it is ready."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command(peer, folder, port), cwd=ROOT, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
                    break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit((folder / "log").read_text()) from None
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def built_generator() -> str:
    """Return the load generator, building it if need be."""
    made = BIN / "bgen"
    if not made.exists():
        subprocess.run(["go", "build", "-o", str(made), "."], cwd=GENERATOR, check=True)
    return str(made)


def send(port: int, series: int, steps: int, end: int) -> dict[str, float]:
    """Send some timestamps of all series, the last one at ``end``."""
    url = f"http://127.0.0.1:{port}/api/v1/write"
    words = ["rwsend", "-url", url, "-series", series, "-steps", steps, "-end", end]
    said = subprocess.run(
        [built_generator(), *map(str, words)], check=True, stdout=subprocess.PIPE
    ).stdout
    found: dict[str, float] = json.loads(said)
    return found


def one_run(peer: str, series: int, steps: int) -> dict[str, float]:
    """Measure one peer once."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-rw-{peer}-"))
    end = int(time.time()) // 15 * 15
    port = free_port()
    try:
        with running(peer, folder, port) as pid:
            time.sleep(1)
            before = cpu_seconds(pid)
            send(port, series, 1, end - 15 * steps)
            time.sleep(1)
            new = cpu_seconds(pid)
            said = send(port, series, steps, end)
            time.sleep(SETTLE_SECONDS)
            spent = cpu_seconds(pid) - new
            return {
                "cpu_s_per_million": spent / said["samples"] * 1e6,
                "new_series_cpu_s": new - before,
                "samples_per_s": said["samples"] / said["wall_s"],
                "peak_mb": peak_mb(pid),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--reps", type=int, default=2)
    parser.add_argument("--peers", default="ours,prometheus")
    asked = parser.parse_args(argv)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(asked.reps):
        for peer in asked.peers.split(","):
            found[peer].append(one_run(peer, asked.series, asked.steps))
            print(peer, {name: round(value, 3) for name, value in found[peer][-1].items()})
    middle = {
        peer: statistics.median(run["cpu_s_per_million"] for run in runs)
        for peer, runs in found.items()
    }
    for peer, value in middle.items():
        print(f"{peer}: {value:.2f} CPU-seconds per million samples")
    if {"ours", "prometheus"} <= middle.keys():
        print(f"ours / prometheus: {middle['ours'] / middle['prometheus']:.2f}")


if __name__ == "__main__":
    main()

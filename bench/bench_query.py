"""Queries beside Prometheus over the same 20,000 series x 1 h: rules in process, over HTTP, and ranges.

    python bench/bench_query.py [--reps 5] [--range-reps 4] [--no-peer] [--differences 10]

The load generator and the queries are those of ../shared/bench (the generator is built with Go on
first use); Prometheus comes from PEERS_BIN (default: the test suite's cache). Both servers take the
same remote write; ours is then started again, and a copy of its data directory is opened by a
process that only evaluates, as a rule group does. Rounds of the three take turns, each at an
evaluation time of its own. Before anything is measured all answers are compared.

CPU-seconds are user and system time of the whole process.
"""

import argparse
import contextlib
import http.client
import importlib.util
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT / "../shared/bench"
BIN = Path(os.environ.get("PEERS_BIN", Path.home() / ".cache/taskscope/bin"))
_PROCESS_CLOCK = 2  # of any process: what clock_getcpuclockid(3) makes
STEPS = 241
STEP = 15
TOLERANCE = 1e-9
GOALS = {"rules in process": 0.2, "rules over HTTP": 0.5}
AGGREGATED, LARGE = 0.33, 0.7
LARGE_KB = 1000
EXTRA_RANGES = [("raw_mem", 'container_memory_working_set_bytes{env="prod"}')]


def rule_set() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the instant and the range queries of the shared bench."""
    spec = importlib.util.spec_from_file_location("rules", SHARED / "rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.INSTANT, [*module.RANGE, *EXTRA_RANGES]


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far, to the ns (/proc counts in ticks, which are too long)."""
    return time.clock_gettime(~pid << 3 | _PROCESS_CLOCK)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def built_generator() -> str:
    """Return the load generator, building it if need be."""
    made = BIN / "bgen"
    if not made.exists():
        subprocess.run(["go", "build", "-o", str(made), "."], cwd=SHARED / "bgen", check=True)
    return str(made)


class Server:
    """A server under test: its process, and one connection that is kept."""

    def __init__(self, command: Sequence[str], port: int, ready: str) -> None:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment(), **quiet)
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for _ in range(300):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._get(ready) == 200:
                    return
            self._connection.close()
            time.sleep(0.1)
        raise RuntimeError(f"{command[0]} does not answer")

    def _get(self, path: str) -> int:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def ask(self, path: str, **params: str | float) -> bytes:
        """Return the body of an answer."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/api/v1" + path, urllib.parse.urlencode(params), form)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} {params}: {answer.status} {body[:300]!r}")
        return body

    def cpu(self) -> float:
        """Return the CPU-seconds of the process so far."""
        return cpu_seconds(self._process.pid)

    def rss_mb(self) -> float:
        """Return the resident memory of the process, MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        words = dict(line.split(":", 1) for line in status.splitlines())
        return int(words["VmRSS"].split()[0]) / 1024

    def stop(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.wait(30)


def environment() -> dict[str, str]:
    """Return the environment of our processes: this checkout comes first."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def ours(data: Path) -> Server:
    """Start Taskscope's server."""
    port = free_port()
    program = "import sys; from taskscope.cli.main import main; sys.exit(main())"
    options = ["server", "--listen", f"127.0.0.1:{port}", "--data-dir", str(data)]
    return Server([sys.executable, "-c", program, *options], port, "/api/v1/status/buildinfo")


def prometheus(folder: Path) -> Server:
    """Start Prometheus."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 15s}\n")
    command = [
        str(BIN / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
        "--log.level=error",
    ]  # fmt: skip
    return Server(command, port, "/-/ready")


def load(server: Server, end: int) -> None:
    """Write the series of the rules into a server."""
    url = f"http://127.0.0.1:{server.port}/api/v1/write"
    command = [built_generator(), "rwsend", "-url", url, "-set", "rules"]
    command += ["-steps", str(STEPS), "-end", str(end)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Passes:
    """A process that opens a store and evaluates the rules when told to."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, __file__, "--serve", str(data)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def run(self, at: int) -> float:
        """Return the CPU-seconds of one pass at a time (seconds)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{at}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def serve(data: Path) -> None:
    """Be the process that evaluates: a line in is a time, a line out the CPU-seconds it took."""
    from prometheus_client import CollectorRegistry

    from alerting.query import engine_evaluator
    from promql.engine import Engine
    from storage.tsdb.db import Tsdb
    from storage.tsdb.settings import TsdbSettings
    from taskscope.clock import SystemClock

    instants, _ = rule_set()
    store = Tsdb(data, TsdbSettings(), SystemClock(), CollectorRegistry())
    store.start()
    evaluate = engine_evaluator(Engine(), store)
    for line in sys.stdin:
        at_ms, began = int(line) * 1000, time.process_time()
        for _, query in instants:
            evaluate(query, at_ms)
        print(time.process_time() - began, flush=True)
    store.stop()


# ---------------------------------------------------------------- are the answers equal?


def answer_of(body: bytes) -> dict[str, list[list[Any]]]:
    """Return the points of each series by its labels."""
    result = json.loads(body)["data"]["result"]
    return {
        json.dumps(one["metric"], sort_keys=True): one.get("values") or [one["value"]]
        for one in result
    }


def difference(mine: bytes, theirs: bytes) -> str:
    """Say in what two answers differ first; "" if they are equal."""
    one, other = answer_of(mine), answer_of(theirs)
    if one.keys() != other.keys():
        odd = sorted(one.keys() ^ other.keys())
        return f"{len(one)} series, not {len(other)}; only one has {odd[0]}"
    for labels, points in one.items():
        peers = other[labels]
        if [at for at, _ in points] != [at for at, _ in peers]:
            return f"{labels}: {len(points)} points, not {len(peers)}, or other times"
        for (at, a), (_, b) in zip(points, peers, strict=True):
            if a != b and not math.isclose(float(a), float(b), rel_tol=TOLERANCE):
                return f"{labels} at {at}: {a}, not {b}"
    return ""


def compare(mine: Server, theirs: Server, end: int, most: int) -> None:
    """Print how many answers are equal, and which are not."""
    instants, ranges = rule_set()
    span = {"start": end - 3600, "end": end, "step": STEP}
    asked: list[tuple[str, str, dict[str, float]]] = []
    for at in (end, end - 1807):
        asked += [(name, "/query", {"query": q, "time": at}) for name, q in instants]  # type: ignore[dict-item]
    asked += [(name, "/query_range", {"query": q, **span}) for name, q in ranges]  # type: ignore[dict-item]
    differ = []
    for name, path, params in asked:
        said = difference(mine.ask(path, **params), theirs.ask(path, **params))
        if said:
            differ.append(f"  {name}: {said}")
    print(f"{len(asked) - len(differ)} of {len(asked)} answers are equal")
    print("\n".join(differ[:most]), flush=True)


# ---------------------------------------------------------------- measuring


class Figures(Struct):
    """CPU-seconds by work and side, a list of runs each."""

    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, work: str, side: str, seconds: float) -> None:
        """Note one run."""
        self.rows.setdefault(work, {}).setdefault(side, []).append(seconds)

    def show(self) -> None:
        """Print the table."""
        print(f"{'CPU-seconds, median':28}{'ours':>9}{'Prometheus':>12}{'ratio':>8}{'goal':>7}")
        for work, sides in self.rows.items():
            mine = statistics.median(sides["ours"])
            peer = statistics.median(sides["peer"]) if "peer" in sides else math.nan
            size = self.sizes.get(work, 0)
            goal = GOALS.get(work, LARGE if size > LARGE_KB else AGGREGATED)
            note = f"  {size} kB" if size else ""
            runs = " ".join(f"{run:.3f}" for run in sides["ours"])
            print(f"{work:28}{mine:9.4f}{peer:12.4f}{mine / peer:8.2f}{goal:7.2f}{note:12}({runs})")


def instant_round(server: Server, at: int) -> float:
    """Return the CPU-seconds of the 200 queries over HTTP."""
    instants, _ = rule_set()
    began = server.cpu()
    for _, query in instants:
        server.ask("/query", query=query, time=at)
    return server.cpu() - began


def range_round(server: Server, query: str, end: int, times: int) -> tuple[float, int]:
    """Return the CPU-seconds of one range query, and the size of its answer in kB."""
    began, size = server.cpu(), 0
    for k in range(times):
        last = end - k * STEP
        body = server.ask("/query_range", query=query, start=last - 3600, end=last, step=STEP)
        size = len(body)
    return (server.cpu() - began) / times, size // 1024


def idle_share(server: Server, seconds: float = 8.0) -> float:
    """Return the part of a core that a server takes when nobody asks it anything."""
    began = server.cpu()
    time.sleep(seconds)
    return (server.cpu() - began) / seconds


@contextlib.contextmanager
def loaded(args: argparse.Namespace) -> Iterator[tuple[Server, Server | None, Passes, int]]:
    """Start all sides over the same data."""
    folder = Path(tempfile.mkdtemp(prefix="bench-query-"))
    end = int(time.time()) // 60 * 60
    sides: list[Server | Passes] = []
    try:
        mine = ours(folder / "ours")
        sides.append(mine)
        load(mine, end)
        time.sleep(args.settle)
        mine.stop()
        sides.remove(mine)
        shutil.copytree(folder / "ours/tsdb", folder / "copy")
        passes = Passes(folder / "copy")
        sides.append(passes)
        mine = ours(folder / "ours")
        sides.append(mine)
        peer = None
        if not args.no_peer:
            peer = prometheus(folder)
            sides.append(peer)
            load(peer, end)
        yield mine, peer, passes, end
    finally:
        for side in sides:
            side.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--range-reps", type=int, default=4)
    parser.add_argument(
        "--settle", type=float, default=12.0, help="seconds between load and restart"
    )
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--differences", type=int, default=10, help="most differences listed")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(Path(args.serve))
        return
    figures = Figures()
    with loaded(args) as (mine, peer, passes, end):
        servers = {"ours": mine} | ({"peer": peer} if peer is not None else {})
        if peer is not None:
            compare(mine, peer, end, args.differences)
        for server in servers.values():  # caches are warm, as they are in a running server
            instant_round(server, end)
        passes.run(end)
        for number in range(args.reps):
            at = end - STEP * (number + 1)
            figures.add("rules in process", "ours", passes.run(at))
            for side, server in servers.items():
                spent = instant_round(server, at)
                figures.add("rules over HTTP", side, spent)
                if side == "peer":
                    figures.add("rules in process", side, spent)
            for name, query in rule_set()[1]:
                for side, server in servers.items():
                    spent, size = range_round(server, query, end - number, args.range_reps)
                    figures.add(f"range {name}", side, spent)
                    figures.sizes[f"range {name}"] = size
        figures.show()
        idle = {side: idle_share(server) for side, server in servers.items()}
        print(
            "asked nothing: "
            + ", ".join(f"{side} {100 * x:.1f} % of a core" for side, x in idle.items())
        )
        sizes = ", ".join(f"{side} {server.rss_mb():.0f} MB" for side, server in servers.items())
        print(f"resident: {sizes}")


if __name__ == "__main__":
    main()

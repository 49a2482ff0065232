"""Log shipping: CPU-seconds per million lines, from json-file logs to bulk requests.

    python bench/bench_logship.py [--lines 400000] [--kind json|text|plain] [--reps 3]

The logs are those of ``../shared/bench`` (20 containers, JSON lines of 250 bytes in Docker's
wrapper, or log4j text with stack traces, joined or (plain) line by line) and so is the sink: its ``_bulk`` answers 201 for each
item. Both need Go. The shipper is a process of its own with the Elasticsearch sink, the redaction
and the checkpoint of every day; its user and system time are read when the last document has
arrived, its start-up (imports, before the first poll) is told apart.
"""

import argparse
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
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATOR = ROOT / ".." / "shared" / "bench" / "bgen"
TICK = os.sysconf("SC_CLK_TCK")
RECORDED = {
    "json": {"Fluent Bit 5.1": 5.6, "OpenTelemetry Collector 0.160": 10.6, "syslog-ng 3.38": 14.2, "rsyslog 8.2302": 14.8},
    "plain": {"vlagent 1.51": 2.38, "Fluent Bit 5.1": 2.98, "OpenTelemetry Collector 0.160": 5.3, "syslog-ng 3.38": 9.15, "rsyslog 8.2302": 12.5},
    "text": {"Fluent Bit 5.1": 4.15, "OpenTelemetry Collector 0.160": 6.7},
}  # fmt: skip

SHIPPER = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from prometheus_client import CollectorRegistry
from logship.shipper import Settings, Shipper
from logship.sink.elasticsearch.client import Connection
from logship.sink.elasticsearch.sink import ElasticsearchSink
from tests.fakes.tasks import FakeTaskSource, make_task
class Clock:
    now_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
BEGUN_MS = time.time_ns() // 1_000_000 + 60_000  # after the agent, so that no former life can have sent anything
sink = ElasticsearchSink(Connection(({url!r},)), namespace={namespace!r})
logs = sorted(Path({logs!r}).glob("*/*-json.log"))
tasks = FakeTaskSource(*(make_task(p.parent.name, log_path=str(p), log_driver="json-file", labels={labels!r}, created_ms=BEGUN_MS) for p in logs))
shipper = Shipper(tasks, [sink], Path({state!r}), Settings(), Clock(), CollectorRegistry())
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, flush=True)
shipper.start()
sys.stdin.read()
shipper.stop()
"""


def build(directory: Path) -> Path | None:
    """Compile the generator, once; None without Go or ``../shared``."""
    program = directory / "bgen"
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if program.exists():
        return program
    if not GENERATOR.exists() or not Path(go).exists():
        return None
    environment = {**os.environ, "GOFLAGS": "-mod=mod"}
    subprocess.run([go, "build", "-o", str(program), "."], cwd=GENERATOR, check=True, env=environment)  # fmt: skip
    return program


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_mb(pid: int) -> float:
    """Return the most memory a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def stats(url: str) -> dict[str, int]:
    """Return what the sink has counted."""
    with urllib.request.urlopen(f"{url}/stats", timeout=5) as answer:
        counted: dict[str, int] = json.load(answer)
    return counted


def wait_for(url: str) -> None:
    """Wait until the sink answers."""
    end = time.monotonic() + 20.0
    while True:
        try:
            stats(url)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def run(
    program: Path, logs: Path, expected: int, labels: dict[str, str]
) -> tuple[float, float, float, int]:
    """Ship once; return CPU seconds, wall seconds, peak MB and documents."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    sink = subprocess.Popen([program, "sink", "-listen", f"127.0.0.1:{port}"])
    os.sched_setaffinity(sink.pid, {max(os.sched_getaffinity(0))})  # as for the peers
    wait_for(url)
    state = tempfile.mkdtemp()
    code = SHIPPER.format(root=str(ROOT), url=url, logs=str(logs), state=state, namespace="default", labels=labels)  # fmt: skip
    for path in logs.glob("*/*.log"):
        path.read_bytes()  # into the page cache
    started = time.monotonic()
    shipper = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert shipper.stdout is not None
        before = float(shipper.stdout.readline())
        documents, moved, used = 0, time.monotonic(), 0.0
        while time.monotonic() - moved < 15.0 and shipper.poll() is None:
            count = stats(url)["docs"]
            if count != documents:
                documents, moved, used = count, time.monotonic(), cpu_seconds(shipper.pid)
            if documents >= expected:
                break
            time.sleep(0.05)
        return used - before, moved - started, peak_mb(shipper.pid), documents
    finally:
        for process in (shipper, sink):
            process.terminate()
            process.wait()
        shutil.rmtree(state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=["json", "text", "plain"], default="json")
    parser.add_argument("--reps", type=int, default=3)
    options = parser.parse_args()
    directory = Path(tempfile.gettempdir()) / "taskscope-bench-logship"
    directory.mkdir(exist_ok=True)
    program = build(directory)
    if program is None:
        sys.exit("needs Go and ../shared/bench/bgen")
    generated = "json" if options.kind == "json" else "text"
    labels = {"taskscope.logs.multiline": "off"} if options.kind == "plain" else {}
    logs = directory / f"{generated}-{options.lines}"
    meta = logs / "meta.json"
    if not meta.exists():
        made = subprocess.run([program, "logs", "-dir", logs, "-lines", str(options.lines), "-kind", generated], check=True, stdout=subprocess.PIPE)  # fmt: skip
        meta.write_bytes(made.stdout)
    facts = json.loads(meta.read_text())
    expected = facts["events"] if options.kind == "text" else facts["lines"]
    costs = []
    print(f"{'':28}{'CPU-s/M lines':>15}{'lines/s':>12}{'peak MB':>10}{'documents':>12}")
    for _ in range(options.reps):
        used, wall, peak, documents = run(program, logs, expected, labels)
        costs.append(used / facts["lines"] * 1e6)
        print(f"{'Taskscope':28}{costs[-1]:15.2f}{facts['lines'] / wall:12,.0f}{peak:10.0f}{documents:12,} of {expected:,}")  # fmt: skip
    print(f"{'Taskscope, median':28}{statistics.median(costs):15.2f}")
    for peer, cost in RECORDED[options.kind].items():
        print(f"{peer + ' (recorded)':28}{cost:15.2f}")


if __name__ == "__main__":
    main()

"""Log shippers side by side in one run: CPU-seconds per million lines, memory, delay at 5,000 lines/s.

    python bench/bench_logs.py [--lines 400000] [--kinds json,plain,traces] [--reps 1] [--into double|elasticsearch]

The logs are those of ``bench_logship.py``: 20 containers, json-file wrapper around JSON lines of 250 bytes (``json``) or
log4j text with stack traces, which are joined (``traces``) or not (``plain``: a document per line). rsyslog is Debian's
(packages rsyslog and rsyslog-elasticsearch), with the wrapper and the inner JSON parsed; it does not join traces. Fluent Bit
takes part where ``fluent-bit`` is on the path, set up as for its recorded figures; else those are printed. All deliver to ``_bulk``: of the sink of ``../shared/bench``, or of a real Elasticsearch (``TASKSCOPE_TEST_ES_PORT``). Rounds are
interleaved. Redaction and checkpoint are on. The delay is from the writer's clock in the line to the ``_bulk`` request.
"""

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from array import array
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from bench.bench_logship import (  # fmt: skip
    ROOT,
    SHIPPER,
    build,
    cpu_seconds,
    free_port,
    peak_mb,
    stats,
    wait_for,
)

RSYSLOGD: Final = Path("/usr/sbin/rsyslogd")
RATE: Final = 5_000  # lines a second for the delay
KINDS: Final = {"json": "json", "plain": "text", "traces": "text"}  # what the generator calls them
RECORDED: Final = {
    "json": {"Fluent Bit 5.1": (5.6, 125), "OpenTelemetry Collector 0.160": (10.6, 243)},
    "plain": {"Fluent Bit 5.1": (2.98, 122), "OpenTelemetry Collector 0.160": (5.3, 155)},
    "traces": {"Fluent Bit 5.1": (4.15, 125), "OpenTelemetry Collector 0.160": (6.7, 64)},
}
_RSYSLOG: Final = """global(workDirectory="{state}" maxMessageSize="64k" processInternalMessages="off" internalmsg.severity="err")
module(load="imfile" mode="inotify")
module(load="mmjsonparse")
module(load="omelasticsearch")
input(type="imfile" file="{logs}/*/*-json.log" tag="task" ruleset="ship" addMetadata="on" freshStartTail="off" persistStateInterval="20000")
template(name="doc" type="list") {{ property(name="$!all-json") }}
ruleset(name="ship" queue.type="LinkedList" queue.size="50000" queue.dequeueBatchSize="4000" queue.workerThreads="1" queue.timeoutEnqueue="3600000") {{
  action(type="mmjsonparse" cookie="")
  {inner}
  action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" template="doc" searchIndex="{index}" searchType="" bulkmode="on" maxbytes="20m")
}}
"""
_FLUENT_PARSERS: Final = """[PARSER]
    Name docker
    Format json
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%L%z
[PARSER]
    Name json
    Format json
[MULTILINE_PARSER]
    Name log4j
    Type regex
    Flush_Timeout 1000
    Rule "start_state" "/^[0-9]{4}-[0-9]{2}-[0-9]{2} /" "cont"
    Rule "cont" "/^(?![0-9]{4}-)/" "cont"
"""
_FLUENT_FILTERS: Final = {
    "json": "[FILTER]\n    Name parser\n    Match *\n    Key_Name log\n    Parser json\n    Reserve_Data On\n",
    "plain": "",
    "traces": "[FILTER]\n    Name multiline\n    Match *\n    multiline.key_content log\n    multiline.parser log4j\n    buffer off\n",
}
_FLUENT_BIT: Final = """[SERVICE]
    Flush 1
    Log_Level off
    Parsers_File {state}/parsers.conf
[INPUT]
    Name tail
    Path {logs}/*/*-json.log
    Tag task.*
    Path_Key file
    Parser docker
    Read_from_Head On
    DB {state}/tail.db
    Mem_Buf_Limit 64MB
    Refresh_Interval 1
    Buffer_Chunk_Size 256k
    Buffer_Max_Size 1M
{filters}[OUTPUT]
    Name es
    Match *
    Host 127.0.0.1
    Port {port}
    Index {index}
    Suppress_Type_Name On
    Retry_Limit False
    Workers 1
    Buffer_Size 8M
"""
# 20 files; a hundredth of a second's lines at a time; the line says when it was written
_WRITER: Final = """
import sys, time
from pathlib import Path
logs, rate, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
files = [(logs / f"c{n}" / f"c{n}-json.log").open("ab", buffering=0) for n in range(20)]
line = '{"log":"{\\\\"ts\\\\":\\\\"%s\\\\",\\\\"level\\\\":\\\\"INFO\\\\",\\\\"logger\\\\":\\\\"com.example.http.AccessLog\\\\",\\\\"thread\\\\":\\\\"worker-7\\\\",\\\\"msg\\\\":\\\\"sent=%d handled GET /api/v1/orders/123 status=200 bytes=5120 dur_ms=12\\\\"}\\\\n","stream":"stdout","time":"%s"}\\n'
began, made = time.monotonic(), 0
while (passed := time.monotonic() - began) < seconds:
    for file in files:
        due = int(passed * rate / 20) - made // 20
        now = time.time_ns()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + ".%09dZ" % (now % 10**9)
        if due > 0:
            file.write((line % (at, now, at) * due).encode())
    made = int(passed * rate / 20) * 20
    time.sleep(0.01)
print(made)
"""


class Target(Struct, frozen=True):
    """Where the lines go: its port, a namespace or index of this round, and how many documents are there."""

    port: int
    name: str
    count: Callable[[], int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def double(program: Path) -> Iterator[Target]:
    """Run the sink that only counts."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([program, "sink", "-listen", f"127.0.0.1:{port}"]) as sink:
        os.sched_setaffinity(sink.pid, {max(os.sched_getaffinity(0))})  # as for the peers
        try:
            wait_for(url)
            yield Target(port, "bench", lambda: stats(url)["docs"])
        finally:
            sink.terminate()


@contextlib.contextmanager
def elasticsearch() -> Iterator[Target]:
    """Use the real one; what was written is deleted."""
    port = int(os.environ.get("TASKSCOPE_TEST_ES_PORT", "19200"))
    name = f"bench{secrets.token_hex(4)}"

    def count() -> int:
        with contextlib.suppress(urllib.error.HTTPError):  # 404: nothing has come yet
            ask(f"{name},logs-task-{name}/_refresh?ignore_unavailable=true", "POST")
            return int(ask(f"{name},logs-task-{name}/_count?ignore_unavailable=true")["count"])
        return 0

    def ask(path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    try:
        yield Target(port, name, count)
    finally:
        for path in (f"{name}?ignore_unavailable=true", f"_data_stream/logs-task-{name}"):
            with contextlib.suppress(urllib.error.HTTPError):  # 404: the other shipper's
                ask(path, "DELETE")


Start = Callable[[Path, Path, Target, str], tuple["subprocess.Popen[str]", float]]


def taskscope(state: Path, logs: Path, target: Target, kind: str) -> tuple["subprocess.Popen[str]", float]:  # fmt: skip
    """Start ours; return the process and the CPU seconds that its start took."""
    labels = {"taskscope.logs.multiline": "off"} if kind == "plain" else {}
    code = SHIPPER.format(root=str(ROOT), url=target.url, logs=str(logs), state=str(state), namespace=target.name, labels=labels)  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    return process, float(process.stdout.readline())


def rsyslog(state: Path, logs: Path, target: Target, kind: str) -> tuple["subprocess.Popen[str]", float]:  # fmt: skip
    """Start rsyslog."""
    inner = 'set $.rc = parse_json($!log, "\\$!app");\n  unset $!log;' if kind == "json" else ""
    config = state / "rsyslog.conf"
    config.write_text(_RSYSLOG.format(state=state, logs=logs, inner=inner, port=target.port, index=target.name))  # fmt: skip
    command = [str(RSYSLOGD), "-n", "-f", str(config), "-i", str(state / "pid")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True), 0.0


def fluent_bit(state: Path, logs: Path, target: Target, kind: str) -> tuple["subprocess.Popen[str]", float]:  # fmt: skip
    """Start Fluent Bit."""
    (state / "parsers.conf").write_text(_FLUENT_PARSERS)
    config = state / "fluent-bit.conf"
    config.write_text(_FLUENT_BIT.format(state=state, logs=logs, filters=_FLUENT_FILTERS[kind], port=target.port, index=target.name))  # fmt: skip
    command = ["fluent-bit", "-q", "-c", str(config)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ), 0.0


SHIPPERS: Final[dict[str, Start]] = {"Taskscope": taskscope}
if RSYSLOGD.exists():
    SHIPPERS["rsyslog"] = rsyslog
if shutil.which("fluent-bit"):
    SHIPPERS["Fluent Bit"] = fluent_bit


class Cost(Struct, frozen=True):
    """CPU and wall seconds until the last document, most memory in MB, documents."""

    cpu: float
    wall: float
    peak: float
    documents: int


def ship(start: Start, logs: Path, target: Target, kind: str, expected: int) -> Cost:
    """Ship everything once."""
    state = Path(tempfile.mkdtemp())
    for path in logs.glob("*/*.log"):
        path.read_bytes()  # into the page cache
    began = time.monotonic()
    process, before = start(state, logs, target, kind)
    try:
        documents, moved, used = 0, began, 0.0
        while time.monotonic() - moved < 15.0 and process.poll() is None and documents < expected:
            count = target.count()
            if count != documents:
                documents, moved, used = count, time.monotonic(), cpu_seconds(process.pid)
            time.sleep(0.05)
        return Cost(used - before, moved - began, peak_mb(process.pid), documents)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(state)


class Arrivals(ThreadingHTTPServer):
    """A ``_bulk`` endpoint that notes for each line how long ago it was written, in ns."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Arrival)
        self.delays = array("q")
        self.lock = threading.Lock()


class _Arrival(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Arrivals

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""

    def do_POST(self) -> None:
        now = time.time_ns()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = [now - int(at) for at in re.findall(rb"sent=(\d+)", body)]
        with self.server.lock:
            self.server.delays.extend(sent)
        items = b'{"create":{"status":201}}'
        answer = b'{"errors":false,"items":[' + b",".join([items] * len(sent)) + b"]}"
        self.send_response(200)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_HEAD = do_POST  # noqa: N815  (the base class looks for these)


def delay(start: Start, seconds: float) -> tuple[np.ndarray[Any, Any], float, float, int]:
    """Write at a steady rate; return delays in seconds, share of a core, peak MB and lines written."""
    with tempfile.TemporaryDirectory() as made, Arrivals() as arrivals:
        logs, state = Path(made, "logs"), Path(made, "state")
        state.mkdir()
        for n in range(20):
            (logs / f"c{n}").mkdir(parents=True)
            (logs / f"c{n}" / f"c{n}-json.log").touch()
        threading.Thread(target=arrivals.serve_forever, daemon=True).start()
        process, _ = start(state, logs, Target(arrivals.server_port, "bench", int), "json")
        try:
            time.sleep(2.0)  # ready, and its idle waiting has begun
            used = cpu_seconds(process.pid)
            writer = [sys.executable, "-c", _WRITER, str(logs), str(RATE), str(seconds)]
            wrote = subprocess.run(writer, check=True, stdout=subprocess.PIPE)
            time.sleep(2.0)
            used = cpu_seconds(process.pid) - used
            return np.array(arrivals.delays) / 1e9, used / seconds, peak_mb(process.pid), int(wrote.stdout)  # fmt: skip
        finally:
            process.kill()
            process.wait()
            arrivals.shutdown()


def made_logs(program: Path, kind: str, lines: int) -> tuple[Path, dict[str, int]]:
    """Return the directory of the logs, made if it is not there, and how many lines and events they have."""
    logs = program.parent / f"{KINDS[kind]}-{lines}"
    meta = logs / "meta.json"
    if not meta.exists():
        command = [
            str(program),
            "logs",
            "-dir",
            str(logs),
            "-lines",
            str(lines),
            "-kind",
            KINDS[kind],
        ]
        meta.write_bytes(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    facts: dict[str, int] = json.loads(meta.read_text())
    return logs, facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--reps", type=int, default=1)
    parser.add_argument("--into", choices=["double", "elasticsearch"], default="double")
    parser.add_argument("--shippers", default=",".join(SHIPPERS))
    parser.add_argument("--delay-seconds", type=float, default=10.0, help="0 leaves the delay out")
    options = parser.parse_args()
    directory = Path(tempfile.gettempdir()) / "taskscope-bench-logship"
    directory.mkdir(exist_ok=True)
    program = build(directory)
    if program is None:
        sys.exit("needs Go and ../shared/bench/bgen")
    shippers = {name: SHIPPERS[name] for name in options.shippers.split(",")}
    print(f"{'':10}{'':32}{'CPU-s/M lines':>14}{'lines/CPU-s':>13}{'lines/s':>12}{'peak MB':>9}{'documents':>12}")  # fmt: skip
    for kind in filter(None, options.kinds.split(",")):
        logs, facts = made_logs(program, kind, options.lines)
        for _ in range(options.reps):
            for name, start in shippers.items():
                if name == "rsyslog" and kind == "traces":
                    continue
                expected = facts["events"] if kind == "traces" else facts["lines"]
                with double(program) if options.into == "double" else elasticsearch() as target:
                    cost = ship(start, logs, target, kind, expected)
                each = cost.cpu / facts["lines"] * 1e6
                print(f"{kind:10}{name:32}{each:14.2f}{1e6 / each:13,.0f}{facts['lines'] / cost.wall:12,.0f}{cost.peak:9.0f}{cost.documents:12,} of {expected:,}", flush=True)  # fmt: skip
        for peer, (recorded, most) in RECORDED[kind].items():
            if peer.startswith(tuple(shippers)):
                continue
            print(f"{kind:10}{f'{peer} (recorded)':32}{recorded:14.2f}{1e6 / recorded:13,.0f}{'':12}{most:9}")  # fmt: skip
    if options.delay_seconds:
        print(f"\n{f'at {RATE:,} lines/s':42}{'p50 ms':>9}{'p99 ms':>9}{'most ms':>9}{'of a core':>11}{'peak MB':>9}{'arrived':>10}")  # fmt: skip
        for name, start in shippers.items():
            delays, share, peak, wrote = delay(start, options.delay_seconds)
            p50, p99, worst = 1e3 * np.quantile(delays, [0.5, 0.99, 1.0])
            print(f"{name:42}{p50:9.0f}{p99:9.0f}{worst:9.0f}{share:11.1%}{peak:9.0f}{len(delays):10,} of {wrote:,}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

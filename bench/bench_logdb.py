"""The embedded log store: CPU to take lines, bytes on disk, time to find them; beside a real Elasticsearch.

    python bench/bench_logdb.py [--lines 400000] [--repeat 5]
    python bench/bench_logdb.py --lines 1000000 --elasticsearch http://127.0.0.1:9200 [--elasticsearch-data DIR]

Without Elasticsearch the table stands beside the figures recorded for VictoriaLogs 1.51 over 400,000
lines of the same kind (../shared/bench/README.md); those are of its whole process, HTTP and JSON
included. With it, the same records go there by Taskscope's own sink, and the same queries are asked
of both in turns, by the same interface. Warm is the median of some; cold means: the store opened
anew and its files out of the page cache, the index closed and opened again (and its files out of the
page cache too, where DIR is the node's ``indices`` directory on this machine).
"""

import argparse
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.errors import DeliveryError
from model.log import LogBatch, Spans
from model.task import ContainerID, TaskID, TaskIdentity
from storage.interface import LogQuery, LogReader
from storage.logdb.logdb import LogDb
from storage.logdb.settings import LogDbSettings

START_NS = 1_767_225_600_000_000_000
PER_BATCH = 2000
TASKS = 50
DATASET = "logdbbench"
JSON = {"accept": "application/json", "content-type": "application/json"}
PEER = {
    "ingest, CPU-s per million lines": "3.55",
    "disk, bytes per line": "43",
    "rare word, ms": "7 (CPU 6)",
    "phrase, ms": "37 (CPU 37)",
    "last 100 of one task, ms": "28 (CPU 33)",
}


class SystemClock:
    """The real clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


def batches(lines: int) -> Iterator[LogBatch]:
    """Yield JSON application logs of some tasks, as logship hands them over."""
    rng = random.Random(7)
    ends = [0] * TASKS
    for number in range(lines // PER_BATCH):
        task = number % TASKS
        buf, bounds = [], []
        position = 0
        for _ in range(PER_BATCH):
            message = (
                f"{rng.choice(('GET', 'POST'))} /api/v1/orders/{rng.randrange(100_000)} "
                f"status={rng.choice((200, 200, 200, 404, 500))} from 10.1.{rng.randrange(256)}.{rng.randrange(256)}"
            )
            own = json.dumps({"dur_ms": rng.randrange(900), "trace": f"{rng.getrandbits(64):016x}"})
            buf += [message, own]
            middle = position + len(message)
            bounds.append((position, middle, middle, middle + len(own)))
            position = middle + len(own)
        spans = np.array(bounds, dtype=np.int64)
        offsets = ends[task] + np.arange(PER_BATCH, dtype=np.int64) * 290
        ends[task] = int(offsets[-1]) + 290
        identity = TaskIdentity(
            cluster="bench",
            host="host-1",
            framework="docker",
            namespace="default",
            app=f"app-{task % 10}",
            task_name=f"task-{task}",
            task_id=TaskID(f"{task:064x}"),
            container_id=ContainerID(f"{task:064x}"),
            container_name=f"task-{task}",
            image="app:1",
        )
        first = START_NS + (number // TASKS) * 1_000_000_000
        yield LogBatch(
            identity=identity,
            source_id=f"source-{task}",
            stream="stdout",
            run=1,
            dataset="task",
            buf="".join(buf).encode(),
            message=Spans(spans[:, 0].copy(), spans[:, 1].copy()),
            fields=Spans(spans[:, 2].copy(), spans[:, 3].copy()),
            ts_ns=first + np.arange(PER_BATCH, dtype=np.int64) * 500_000,
            read_ns=first,
            levels=np.array(rng.choices((3, 4, 5), (8, 1, 1), k=PER_BATCH), dtype=np.uint8),
            offsets=offsets,
            flags=np.zeros(PER_BATCH, dtype=np.uint8),
            end_offset=ends[task],
            original_bytes=np.zeros(PER_BATCH, dtype=np.int64),
        )


def ingest(db: LogDb, made: list[LogBatch]) -> None:
    """Append all batches, waiting where the store asks to, and seal the last."""
    for batch in made:
        while True:
            try:
                _, ticket = db.append(batch)
            except DeliveryError:
                time.sleep(0.01)
            else:
                ticket.wait()
                break
    db.seal()


Ask = Callable[[LogReader], int]


def queries(rare: str, trace: str) -> dict[str, Ask]:
    """Return the questions by name; each answers with how much it found."""

    def search(text: str) -> Ask:
        return lambda reader: len(reader.search(LogQuery(text, limit=100)).records)

    def counts(text: str) -> Ask:
        query = LogQuery(text, start_ns=START_NS, end_ns=START_NS + 3600 * 10**9)
        return lambda reader: sum(int(c.sum()) for c in reader.histogram(query, 60)[1].values())

    return {
        "rare word, ms": search(rare),
        "one of a million trace ids, ms": search(f"trace:{trace}"),
        "phrase, ms": search('"status=500"'),
        "last 100 of one task, ms": search(f"task_id:{7:064x}"),
        "last 100 of a level, ms": search("level:error"),
        "last 100 of all, ms": search(""),
        "histogram of all, ms": counts(""),
        "histogram of a level, ms": counts("level:error"),
        "histogram of an own number, ms": counts("dur_ms:>=800"),
    }


class Ours:
    """The embedded store with all lines, to be opened and closed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.reader = self._opened()

    def cold(self) -> None:
        """Open the store anew, with nothing of it in the page cache."""
        self.reader.stop()
        forget(self._directory)
        self.reader = self._opened()

    def _opened(self) -> LogDb:
        db = LogDb(self._directory, LogDbSettings(), SystemClock(), CollectorRegistry())
        db.start()
        return db


class Theirs:
    """An Elasticsearch with all lines."""

    def __init__(self, url: str, data: Path | None) -> None:
        from logship.reader.elasticsearch import ElasticsearchLogReader
        from logship.sink.elasticsearch.client import Connection, connect
        from logship.sink.elasticsearch.sink import ElasticsearchSink

        connection = Connection((url,))
        self._namespace = f"n{time.time_ns():x}"
        self._index = f"logs-{DATASET}-{self._namespace}"
        self._data = data
        self._client = connect(connection, 60.0)
        self._sink = ElasticsearchSink(connection, namespace=self._namespace, template_name=DATASET)
        self.reader = ElasticsearchLogReader(connection, indices=self._index)

    def ingest(self, made: list[LogBatch]) -> None:
        """Send all lines, as often as it takes."""
        for batch in made:
            rows = np.arange(len(batch))
            while len(rows):
                part = replace(batch.take(rows[:500]), dataset=DATASET)
                try:
                    (delivery,) = self._sink.write([part], 60.0)
                except DeliveryError:
                    time.sleep(1.0)
                    continue
                sent = rows[:500]
                rows = np.concatenate([sent[delivery.retryable], rows[500:]])
        self.ask("POST", "_refresh")
        self.ask("POST", "_flush")

    def ask(self, method: str, what: str) -> Any:
        """Send a request about the data stream."""
        return self._client.perform_request(method, f"/{self._index}/{what}", headers=JSON).body

    def size(self) -> int:
        """Return its bytes on disk."""
        return int(self.ask("GET", "_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"])

    def cold(self) -> None:
        """Close and open the index."""
        ((name, about),) = self.ask("GET", "_settings").items()
        self._client.perform_request("POST", f"/{name}/_close", headers=JSON)
        if self._data is not None:
            forget(self._data / about["settings"]["index"]["uuid"])
        self._client.perform_request("POST", f"/{name}/_open", headers=JSON)
        while self.ask("GET", "_search?size=0")["_shards"]["successful"] < 1:
            time.sleep(0.1)

    def close(self) -> None:
        """Remove everything."""
        self.reader.close()
        self._sink.close()
        self._client.perform_request("DELETE", f"/_data_stream/{self._index}", headers=JSON)
        self._client.close()


def forget(directory: Path) -> None:
    """Have the kernel let go of files' contents."""
    for path in directory.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def timed(ask: Ask, reader: LogReader) -> tuple[float, float, int]:
    """Return wall and CPU time of one question in ms, and how much it found."""
    start, cpu = time.perf_counter(), time.process_time()
    found = ask(reader)
    return (time.perf_counter() - start) * 1000, (time.process_time() - cpu) * 1000, found


def compare(name: str, ask: Ask, ours: Ours, theirs: Theirs | None, repeat: int) -> list[str]:
    """Ask both in turns, and return a row of the table."""
    cells: dict[str, list[float]] = {k: [] for k in ("warm", "cpu", "cold", "they", "they cold")}
    found = they_found = 0
    for _ in range(max(3, repeat // 2)):
        ours.cold()
        cells["cold"].append(timed(ask, ours.reader)[0])
        if theirs is not None:
            theirs.cold()
            cells["they cold"].append(timed(ask, theirs.reader)[0])
    for _ in range(repeat):
        wall, cpu, found = timed(ask, ours.reader)
        cells["warm"].append(wall)
        cells["cpu"].append(cpu)
        if theirs is not None:
            wall, _, they_found = timed(ask, theirs.reader)
            cells["they"].append(wall)
    middle = {key: statistics.median(times) for key, times in cells.items() if times}
    row = [name, f"{middle['cold']:.1f}", f"{middle['warm']:.1f} (CPU {middle['cpu']:.0f})"]
    if theirs is None:
        return [*row, f"{found} found", PEER.get(name, "")]
    if found != they_found:
        raise SystemExit(f"{name}: {found} here, {they_found} there")
    return [*row, f"{middle['they cold']:.1f}", f"{middle['they']:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--elasticsearch", default="", help="URL of a node to compare with")
    parser.add_argument(
        "--elasticsearch-data", type=Path, help="its directory of indices, if it is here"
    )
    args = parser.parse_args()
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401  loading the libraries is not what is measured

    made = list(batches(args.lines))
    lines = sum(len(batch) for batch in made)
    text = sum(len(batch.buf) for batch in made) / lines
    middle = made[len(made) // 2]
    rare = middle.text(5).split()[1].rsplit("/", 1)[1]
    own = middle.buf[middle.fields.starts[7] : middle.fields.ends[7]]
    trace = json.loads(own)["trace"]
    rows: list[list[str]] = []
    theirs = None
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        ours = Ours(directory)
        before = time.process_time()
        ingest(ours.reader, made)
        cpu = time.process_time() - before
        size = sum(p.stat().st_size for p in (directory / "segments").iterdir())
        if args.elasticsearch:
            theirs = Theirs(args.elasticsearch, args.elasticsearch_data)
        try:
            their_size = 0
            if theirs is not None:
                theirs.ingest(made)
                their_size = theirs.size()
            made.clear()
            taken, there = "ingest, CPU-s per million lines", f"{their_size / lines:.1f}"
            rows.append([taken, "", f"{cpu / lines * 1e6:.2f}", "", PEER[taken] * (theirs is None)])
            disk = f"{size / lines:.1f} (of {text:.0f})"
            rows.append(["disk, bytes per line", "", disk, "", there if theirs else PEER["disk, bytes per line"]])  # fmt: skip
            for name, ask in queries(rare, trace).items():
                rows.append(compare(name, ask, ours, theirs, args.repeat))
        finally:
            ours.reader.stop()
            if theirs is not None:
                theirs.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(["peak memory, with the lines to send, MiB", "", f"{peak:.0f}", "", ""])
    peer = ["Elasticsearch cold", "warm"] if theirs is not None else ["", "VictoriaLogs"]
    print(f"{lines:,} lines")
    for row in [["", "cold", "warm", *peer], *rows]:
        print(f"{row[0]:42}{row[1]:>10}{row[2]:>20}{row[3]:>20}{row[4]:>14}")


if __name__ == "__main__":
    main()

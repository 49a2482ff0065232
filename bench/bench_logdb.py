"""The embedded log store: CPU to take lines, bytes on disk, time to find them.

    python bench/bench_logdb.py [--lines 400000] [--repeat 5]

Prints a table beside the figures recorded for VictoriaLogs 1.51 over as many lines of the same kind
(../shared/bench/README.md); those are of its whole process, HTTP and JSON included.
"""

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from prometheus_client import CollectorRegistry

from model.errors import DeliveryError
from model.log import LogBatch, Spans
from model.task import ContainerID, TaskID, TaskIdentity
from storage.interface import LogQuery
from storage.logdb.logdb import LogDb
from storage.logdb.settings import LogDbSettings

START_NS = 1_767_225_600_000_000_000
PER_BATCH = 2000
TASKS = 50
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


def median_ms(db: LogDb, query: LogQuery, repeat: int) -> tuple[float, float, int]:
    """Return the median time of a search, the median CPU time, and how much it found."""
    times, cpu, found = [], [], 0
    for _ in range(repeat):
        start, cpu_start = time.perf_counter(), time.process_time()
        found = len(db.search(query).records)
        times.append((time.perf_counter() - start) * 1000)
        cpu.append((time.process_time() - cpu_start) * 1000)
    return statistics.median(times), statistics.median(cpu), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    import duckdb  # noqa: F401  loading the libraries is not what is measured
    import pyarrow.parquet  # noqa: F401

    made = list(batches(args.lines))
    lines = sum(len(batch) for batch in made)
    text = sum(len(batch.buf) for batch in made) / lines
    rare = made[len(made) // 2].text(5).split()[1].rsplit("/", 1)[1]
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as directory:
        db = LogDb(Path(directory), LogDbSettings(), SystemClock(), CollectorRegistry())
        db.start()
        before = time.process_time()
        ingest(db, made)
        cpu = time.process_time() - before
        size = sum(p.stat().st_size for p in (Path(directory) / "segments").iterdir())
        rows.append(("ingest, CPU-s per million lines", f"{cpu / lines * 1e6:.2f}"))
        rows.append(("disk, bytes per line", f"{size / lines:.1f} (of {text:.0f})"))
        for name, query in (
            ("rare word, ms", LogQuery(rare, limit=100)),
            ("phrase, ms", LogQuery('"status=500"', limit=100)),
            ("last 100 of one task, ms", LogQuery(f"task_id:{7:064x}", limit=100)),
            ("last 100 of a level, ms", LogQuery("level:error", limit=100)),
        ):
            wall, cpu, found = median_ms(db, query, args.repeat)
            rows.append((name, f"{wall:.1f} (CPU {cpu:.0f}, {found} found)"))
        db.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(("peak memory with the lines to send, MiB", f"{peak:.0f}"))
    print(f"{lines:,} lines\n{'':42}{'Taskscope':>28}{'VictoriaLogs':>14}")
    for name, value in rows:
        print(f"{name:42}{value:>28}{PEER.get(name, ''):>14}")


if __name__ == "__main__":
    main()

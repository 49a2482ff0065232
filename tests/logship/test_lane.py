"""The lane: several writes at once with exact positions, and every record in exactly one state."""

import errno
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from logship.deadletter import DeadLetters, letters
from logship.lane import Lane
from logship.metrics import LogshipMetrics
from logship.order import Order
from logship.pace import BYTES_MIN, REQUEST_BYTES, Pace
from logship.parse.batch import Tally
from logship.shipper import Settings
from logship.source.chunk import Chunk
from logship.source.docker_api import ApiOrigin
from model.errors import DeliveryError
from model.log import Delivery, LogBatch
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.elastic_double import Double
from tests.logship.harness import RealClock, parse, shipper, until
from tests.logship.node import Node
from tests.logship.proxy import Proxy
from tests.logship.recording import RecordingSink
from tests.logship.server import Server


class Slow:
    """Takes its time with each write, a different one; several at once. See ``ConcurrentSink``."""

    name = "slow"

    def __init__(self, parallel: int = 4, seconds: float = 0.02) -> None:
        self.parallel = parallel
        self._seconds = seconds
        self._lock = threading.Lock()
        self.now = self.most = 0
        self.texts: list[str] = []
        self.failing = 0
        self.resumed_ids: set[str] = set()

    def resumed(self, source_ids: Iterable[str]) -> None:
        self.resumed_ids |= set(source_ids)

    def ahead(self, batch: LogBatch) -> None:
        """See ``ConcurrentSink.ahead``."""

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            fails = self.failing > 0
            self.failing -= fails
        time.sleep(self._seconds * random.uniform(0.5, 3))
        with self._lock:
            self.now -= 1
            if fails:
                raise DeliveryError("not now", retryable=True, retry_after_seconds=0.01)
            self.texts += [batch.text(row) for batch in batches for row in range(len(batch))]
        return [Delivery(np.full(len(batch), 201, dtype=np.int16)) for batch in batches]

    def check(self, timeout_seconds: float) -> None:
        """It is there."""

    def close(self) -> None:
        """Nothing to let go of."""


def make_lane(directory: Path, sink: object, registry: CollectorRegistry | None = None) -> Lane:
    """Return a lane to a sink, with a buffer that is never full."""
    return Lane(
        sink, DeadLetters(directory, "x"), LogshipMetrics(registry or CollectorRegistry()), RealClock(),  # type: ignore[arg-type]  # each test's own
        buffer_bytes=1 << 30, timeout_seconds=5, on_delivered=lambda: None,
    )  # fmt: skip


def chunk(source: ApiOrigin, start: int, size: int, text: str = "x") -> Chunk:
    """Return a chunk with one record that says it is so large."""
    return Chunk(source, make_task(), start, start + size, parse(f"{text}\n").batches, size, Tally())  # fmt: skip


@given(sources=st.lists(st.integers(0, 2), min_size=1, max_size=30), seed=st.randoms())
@settings(max_examples=100)
def test_position_moves_only_over_what_is_delivered(
    sources: list[int], seed: random.Random
) -> None:
    """Whatever the order of the answers: never past a chunk that is not there yet (L11)."""
    origins = [ApiOrigin(source_id=str(n)) for n in range(3)]
    order = Order("sink")
    ends = [0, 0, 0]
    chunks = []
    for n in sources:
        chunks.append((n, chunk(origins[n], ends[n], 10)))
        ends[n] += 10
        order.add(chunks[-1][1])
    left = list(chunks)
    seed.shuffle(left)
    while left:
        _, done = left.pop()
        order.delivered(done)
        missing = {id(other) for _, other in left}
        for n, origin in enumerate(origins):
            first = next((c.start for m, c in chunks if m == n and id(c) in missing), ends[n])
            assert origin.acked.get("sink", 0) == first


def test_several_writes_at_once_and_positions_exact(tmp_path: Path) -> None:
    """It tries how many are faster; failures in between change nothing about what arrives."""
    sink, registry = Slow(), CollectorRegistry()
    lane = make_lane(tmp_path, sink, registry)
    origins = [ApiOrigin(source_id=str(n)) for n in range(5)]
    for n in range(200):
        lane.put(chunk(origins[n % 5], n // 5 * REQUEST_BYTES, REQUEST_BYTES, f"line {n}"))
    sink.failing = 3

    lane.start()
    done = until(lambda: all(o.acked.get("slow") == 40 * REQUEST_BYTES for o in origins), 20)
    lane.stop(5)

    assert done
    assert sink.most > 1
    assert Counter(sink.texts) == {f"line {n}": 1 for n in range(200)}
    assert registry.get_sample_value("taskscope_logship_sent_records_total", {"sink": "slow"}) == 200  # fmt: skip


def test_one_write_at_a_time_where_the_sink_takes_no_more(tmp_path: Path) -> None:
    """The contract of a plain sink."""
    sink = Slow(parallel=1)
    lane = make_lane(tmp_path, sink)
    origin = ApiOrigin(source_id="x")
    for n in range(30):
        lane.put(chunk(origin, n * REQUEST_BYTES, REQUEST_BYTES, f"line {n}"))

    lane.start()
    done = until(lambda: origin.acked.get("slow") == 30 * REQUEST_BYTES)
    lane.stop(5)

    assert done
    assert sink.most == 1
    assert sink.texts == [f"line {n}" for n in range(30)]


def test_sink_is_told_which_sources_are_older_than_the_process(tmp_path: Path) -> None:
    """Only of those a former life can have sent more than it noted down."""
    sink = Slow()
    lane = make_lane(tmp_path, sink)
    old, new = parse("a\n").batches, parse("b\n").batches
    later = make_task("later", created_ms=time.time_ns() // 1_000_000 + 1000)
    lane.put(Chunk(ApiOrigin(source_id="x"), later, 0, 1, new, 1, Tally()))
    assert sink.resumed_ids == set()
    lane.put(Chunk(ApiOrigin(source_id="y"), make_task(), 0, 1, old, 1, Tally()))

    assert sink.resumed_ids == {old[0].source_id}


def test_pace_goes_up_while_it_pays_and_halves_when_it_is_too_much() -> None:
    """A far side that takes four requests side by side, and one that takes no more than one."""

    def run(useful: int) -> Pace:
        pace, now = Pace(parallel_max=8), 0.0
        for _ in range(300):
            now += 0.3 / min(pace.parallel, useful)
            pace.delivered(pace.request_bytes, 0.3, now, more=True)
        return pace

    assert 3 <= run(4).parallel <= 5
    assert run(1).parallel <= 2
    pace = run(4)
    before = (pace.request_bytes, pace.parallel)
    pace.failed()
    assert (pace.request_bytes, pace.parallel) == (before[0] // 2, before[1] // 2)
    for _ in range(20):
        pace.failed()
    assert (pace.request_bytes, pace.parallel) == (BYTES_MIN, 1)
    pace.delivered(BYTES_MIN, 10.0, 1.0, more=True)
    assert pace.request_bytes == BYTES_MIN


OUTCOMES = {
    "stored": [], "busy": [(429, "es_rejected_execution_exception")] * 2, "blocked": [(403, "cluster_block_exception")],
    "broken": [(500, "node_closed_exception"), (503, "unavailable_shards_exception")], "closed": [(400, "index_closed_exception")],
    "full": [(400, "validation_exception")], "odd": [(400, "document_parsing_exception")], "never": [(400, "document_parsing_exception")] * 2,
}  # fmt: skip


def test_every_item_of_a_mixed_answer_ends_in_exactly_one_state(tmp_path: Path) -> None:
    """201, 409, 429, 500, 503, 403 and both kinds of 400 in one answer, several times over (P2, L4, L6, L7)."""
    double = Double()
    double.refusals = {word: list(answers) for word, answers in OUTCOMES.items()}
    lines = [f"{word} {n}" for n, word in enumerate([*OUTCOMES, "there"])]
    registry = CollectorRegistry()
    with Server(double) as server:
        node = Node(server.url)
        sink = node.sink()
        (batch,) = parse("".join(f"{line}\n" for line in lines)).batches
        sink.write([batch.take(np.array([len(lines) - 1]))], 5)
        lane = make_lane(tmp_path, sink, registry)
        origin = ApiOrigin(source_id="x")
        lane.put(Chunk(origin, make_task(), 0, 42, [batch], 42, Tally()))
        lane.start()
        done = until(lambda: origin.acked.get("elasticsearch") == 42)
        lane.stop(5)
        messages = node.messages()

    def counted(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"taskscope_logship_{name}_records_total", labels)

    dead = [entry for _, entry in letters(tmp_path / "dead-letters-x.jsonl") if entry]
    assert done
    assert messages == {line: 1 for line in lines if not line.startswith("never")}
    assert [entry["line"].split()[0] for entry in dead] == ["never"]
    assert counted("sent", sink="elasticsearch") == len(lines) - 1
    assert counted("dropped", reason="refused") == 1


def test_dead_letter_that_cannot_be_written_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """With the disk full the record is held, and the position too, until it can be written."""
    double = Double()
    double.refusals = {"never": [(400, "document_parsing_exception")] * 50}
    full = True
    append = DeadLetters.append

    def maybe(self: DeadLetters, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(self, data)

    monkeypatch.setattr(DeadLetters, "append", maybe)
    with Server(double) as server:
        lane = make_lane(tmp_path, Node(server.url).sink())
        origin = ApiOrigin(source_id="x")
        lane.put(Chunk(origin, make_task(), 0, 42, parse("never\nfine\n").batches, 42, Tally()))
        lane.start()
        said = until(lambda: "cannot be written: No space left" in lane.status.message)
        held = not origin.acked
        full = False
        done = until(lambda: origin.acked.get("elasticsearch") == 42)
        lane.stop(5)

    assert said
    assert held
    assert done
    (entry,) = map(json.loads, (tmp_path / "dead-letters-x.jsonl").read_text().splitlines())
    assert entry["line"] == "never"


def test_sink_that_is_away_stops_no_other_and_catches_up(tmp_path: Path) -> None:
    """Each has its own progress; what waits is bounded by the buffer, the files hold the rest (L8)."""
    (sandbox := tmp_path / "sandbox").mkdir()
    registry = CollectorRegistry()
    small = Settings(poll_interval_seconds=0.02, checkpoint_interval_seconds=0.1, docker_socket="", buffer_bytes=1 << 20)  # fmt: skip
    other = RecordingSink()
    with Server(Double()) as server:
        proxy, node = Proxy(server.url), Node(server.url)
        proxy.cut()
        ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", other, node.sink(proxy.url), settings=small, registry=registry)  # fmt: skip
        ship.start()
        lines = [f"line {n} {'x' * 200}" for n in range(20_000)]
        (sandbox / "stdout").write_text("".join(f"{line}\n" for line in lines))
        first_done = until(lambda: len(other.records) == len(lines), 20)
        waiting = registry.get_sample_value("taskscope_logship_buffer_bytes", {"sink": "elasticsearch"})  # fmt: skip
        lag = ship.collect(0)[0].values[-2]
        down = ship.status().sinks[1].ok
        proxy.mend()
        caught_up = until(lambda: ship.collect(0)[0].values[-2] == 0, 30)
        ship.stop()
        proxy.close()
        messages = node.messages()

    assert first_done
    assert not down
    assert waiting is not None
    assert waiting < 2 << 20
    assert lag > 2 << 20
    assert caught_up
    assert messages == Counter(lines)

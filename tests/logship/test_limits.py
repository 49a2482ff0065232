"""Limits: what passes, the exact counts, one summary an interval, the same for every sink."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import Struct, field

from logship.limits.limit import Bucket, Limit, passing, sampled
from logship.limits.limiter import Limiter
from logship.match import TaskMatch
from logship.parse.batch import Tally
from logship.policy import Policy
from logship.source.chunk import Chunk
from model.log import Level, LogBatch
from model.task import Task, TaskIdentity, TaskState, TaskStatus
from tests.fakes.tasks import SHOP, FakeTaskSource, make_task
from tests.logship.harness import parse, shipper, until
from tests.logship.recording import RecordingSink

EVERY = TaskMatch()


class Place(Struct):
    """Where a chunk was read."""

    source_id: str = "s"
    acked: dict[str, int] = field(default_factory=dict)
    counted: int = 0


def batch(*seconds: float, level: str = "INFO") -> LogBatch:
    """Return records of these seconds after a full minute."""
    lines = [f"2026-11-22 09:00:{s:09.6f} {level} x.Y - line\n" for s in seconds]
    (made,) = parse("".join(lines)).batches
    return made


def chunk(made: LogBatch, start: int = 0) -> Chunk:
    """Return a chunk of one batch."""
    return Chunk(
        Place(), Task(SHOP, TaskStatus(TaskState.RUNNING, 0)), start, start + 1, [made], 1, Tally()
    )


@pytest.mark.parametrize(("rate", "burst", "seconds", "kept"), [
    (2, 0, [0, 0, 0, 1, 1, 1], [1, 1, 0, 1, 1, 0]),
    (2, 4, [0, 0, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 1, 1, 0]),
    (2, 4, [0, 9, 9, 9, 9, 9], [1, 1, 1, 1, 1, 0]),      # saved up, to the burst
    (1, 0, [5, 3, 4, 6], [1, 0, 0, 1]),                  # a clock that goes back gives nothing
    (0.5, 1, [0, 1, 2, 3, 4], [1, 0, 1, 0, 1]),
])  # fmt: skip
def test_rate(rate: float, burst: float, seconds: list[float], kept: list[int]) -> None:
    """The first records of each second pass, by the records' own time."""
    limit = Limit(EVERY, rate, burst)

    passes, left_out = passing(limit, Bucket(max(rate, burst)), batch(*seconds))

    assert passes.astype(int).tolist() == kept
    assert not left_out.any()


def test_what_is_kept_anyway_uses_nothing_up() -> None:
    """Errors pass a limit that lets no line pass."""
    limit = Limit(EVERY, 1, sample=0.0001, keep_level=int(Level.ERROR))

    passes, _ = passing(limit, Bucket(1), batch(0, 0, 0, level="ERROR"))

    assert passes.all()


@pytest.mark.parametrize("share", [0.01, 0.25, 0.9])
def test_sample(share: float) -> None:
    """It is as large as was said, and the same every time."""
    offsets = np.arange(0, 20_000_000, 200)

    chosen = sampled(offsets, share)

    assert abs(chosen.mean() - share) < 0.01
    assert (sampled(offsets[::-1], share)[::-1] == chosen).all()


def test_each_lane_leaves_out_the_same() -> None:
    """Also one that is behind and reads in other pieces."""
    limiter = Limiter([Limit(EVERY, 3)], report=_ignore)
    records = batch(*[n / 10 for n in range(100)])
    whole = limiter.pass_on(chunk(records), "a", new=True)

    parts = [
        limiter.pass_on(chunk(records.take(np.arange(n, n + 20))), "b", new=False)
        for n in range(0, 100, 20)
    ]

    kept = [offset for part in parts for one in part.batches for offset in one.offsets.tolist()]
    assert kept == whole.batches[0].offsets.tolist()
    assert len(kept) == 30


def test_summary_has_exact_counts() -> None:
    """One document per task and interval; nothing is said where nothing was left out."""
    said: list[tuple[str, Mapping[str, Any]]] = []
    limiter = Limiter(
        [Limit(EVERY, 2)],
        report=lambda who, level, text, fields: said.append((text, fields)),
        interval_seconds=10,
    )
    limiter.pass_on(chunk(batch(0, 0, 0, 0, 0)), "a", new=True)
    limiter.pass_on(chunk(batch(0, 0, 0, 0, 0)), "b", new=False)  # another sink: not counted again
    for now in (10.0, 15.0, 20.0, 30.0):
        limiter.tick(now)
    limiter.pass_on(chunk(batch(5)), "a", new=True)
    limiter.tick(40.0)

    ((text, fields),) = said
    assert text == "2 of 5 log lines were kept; 3 were over its limit of 2 lines per second"
    assert (fields["lines"], fields["kept"], fields["dropped_rate"], fields["dropped_sample"]) == (
        5,
        2,
        3,
        0,
    )
    (series,) = limiter.collect()
    assert series.values.tolist() == [3, 0]
    assert series.labels[0].get("reason") == "rate"
    assert series.labels[0].get("task_id") == SHOP.task_id


def test_first_match_is_a_tasks_limit() -> None:
    """And a task that none matches has none."""
    limits = [Limit(TaskMatch.of({"app": "noisy-*"}), 1), Limit(TaskMatch.of({"app": SHOP.app}), 2)]
    limiter = Limiter(limits, report=_ignore)

    assert limiter.limit(SHOP) == limits[1]
    assert Limiter(limits[:1], report=_ignore).limit(SHOP) is None


def test_limit_on_the_whole_way(tmp_path: Path) -> None:
    """From file to sink: what passes arrives, everything is counted, the summary is written at the end."""
    log = tmp_path / "stdout"
    log.write_text(
        "".join(
            f"2026-11-22 09:00:0{n % 2} INFO x.Y - line {n}\n"
            for n in sorted(range(100), key=lambda n: n % 2)
        )
    )
    said: list[Mapping[str, Any]] = []
    sink = RecordingSink()
    task = make_task("t", sandbox=str(tmp_path))
    shipping = shipper(FakeTaskSource(task), tmp_path / "state", sink, policy=Policy(limits=(Limit(EVERY, 10),)), report=lambda who, level, text, fields: said.append(fields))  # fmt: skip
    shipping.start()
    try:
        assert until(lambda: len(sink.texts) == 20)
        assert until(
            lambda: any(
                block.labels[0].get("__name__") == "log_lines_dropped_total"
                for block in shipping.collect(0)
            )
        )
    finally:
        shipping.stop()

    assert len(sink.texts) == 20
    assert [(fields["lines"], fields["kept"]) for fields in said] == [(100, 20)]
    dropped = next(
        b for b in shipping.collect(0) if b.labels[0].get("__name__") == "log_lines_dropped_total"
    )
    assert dropped.values.tolist() == [80, 0]


def _ignore(identity: TaskIdentity, level: Level, message: str, fields: Mapping[str, Any]) -> None:
    """Nobody reads the summaries of this test."""

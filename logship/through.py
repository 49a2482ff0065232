"""What happens to chunks between reading and the lanes: counted once, cut to the limits."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from logship.derive.meter import Meter
from logship.events import DATASET
from logship.ledger import Ledger
from logship.limits.limiter import Limiter, Report
from logship.metrics import LogshipMetrics
from logship.policy import Policy
from logship.source.chunk import Chunk
from model.log import Level, LogBatch
from model.samples import SeriesBlock
from model.task import Task, TaskID, TaskIdentity


class Through:
    """Counts and limits. The reader's thread calls, collectors read.

    Args:
        policy: What the operator decided.
        ledger: Each task's account.
        metrics: Of log shipping itself.
        report: Writes the summaries of what was left out.
    """

    def __init__(self, policy: Policy, ledger: Ledger, metrics: LogshipMetrics, report: Report | None) -> None:  # fmt: skip
        self._ledger = ledger
        self._metrics = metrics
        self._limiter = Limiter(policy.limits, report or _unheard)
        self._meter = Meter(policy.metrics, metrics)

    def read(self, chunk: Chunk, lane: str) -> Chunk:
        """Count a chunk, unless another lane was here before; return it without what is over the task's limit."""
        new = chunk.start >= chunk.source.counted
        if new:
            self._count(chunk)
        if not self._limiter:
            return chunk
        parts = _by_owner(chunk)
        limited = [self._limiter.pass_on(part, lane, new=new) for part in parts]
        if all(after is before for after, before in zip(limited, parts, strict=True)):
            return chunk
        passed = replace(chunk, batches=[batch for part in limited for batch in part.batches])
        if new:
            lost = sum(map(len, chunk.batches)) - sum(map(len, passed.batches))
            self._metrics.dropped.labels("limit").inc(lost)
        return passed

    def share(self, chunk: Chunk, lane: str, reader: str) -> None:
        """Note that a lane gets the very chunk that was read for another."""
        for part in _by_owner(chunk):
            self._limiter.follow(lane, reader, part.task.identity)

    def _count(self, chunk: Chunk) -> None:
        chunk.source.counted = chunk.end
        self._ledger.count(chunk)
        if self._meter:
            for part in _by_owner(chunk):
                self._meter.count(part)
        metrics, tally = self._metrics, chunk.tally
        for batch in chunk.batches:
            metrics.received.labels(batch.stream).inc(len(batch))
        for rule, count in tally.redactions.items():
            metrics.redactions.labels(rule).inc(count)
        for mark, count in (("truncated", tally.truncated), ("unparsed", tally.unparsed), ("bad_time", tally.bad_times)):  # fmt: skip
            if count:
                metrics.marked.labels(mark).inc(count)

    def tick(self, now: float, *, closing: bool = False) -> None:
        """Write the summaries that are due; ``now`` is monotonic seconds."""
        self._limiter.tick(now, closing=closing)

    def forget(self, known: set[TaskID]) -> None:
        """Drop the state of all but these tasks, and those that sent lines over a socket lately."""
        known = known | self._ledger.known()
        self._limiter.forget(known)
        self._meter.forget(known)

    def collect(self) -> list[SeriesBlock]:
        """Return what was counted of lines and left out, as series."""
        return [*self._meter.collect(), *self._limiter.collect()]


def _by_owner(chunk: Chunk) -> list[Chunk]:
    """Part a chunk of a spool by whose its records are; one of a task's own log is all of that task."""
    if chunk.task.identity.task_id or not chunk.batches:
        return [chunk]
    owned: dict[TaskIdentity, list[LogBatch]] = {}
    for batch in chunk.batches:
        # events are no lines of their task: nothing limits or measures them
        owner = chunk.task.identity if batch.dataset == DATASET else batch.identity
        owned.setdefault(owner, []).append(batch)
    status = chunk.task.status
    return [replace(chunk, task=Task(owner, status), batches=b) for owner, b in owned.items()]


def _unheard(identity: TaskIdentity, level: Level, message: str, fields: Mapping[str, Any]) -> None:
    """Take a summary where there is nobody to read it: a shipper without events."""

"""Limits every task's log on its way to each lane, and says now and then what was left out."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from logship.limits.limit import Bucket, Limit, passing
from logship.source.chunk import Chunk
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.log import Level
from model.samples import SeriesBlock
from model.task import TaskID, TaskIdentity

INTERVAL_SECONDS: Final = 60.0
METRIC: Final = "log_lines_dropped_total"
Report = Callable[[TaskIdentity, Level, str, Mapping[str, Any]], None]


class _Account(Struct):
    """What became of a task's records: since the last summary, and in all."""

    identity: TaskIdentity
    limit: Limit
    labels: tuple[Labels, ...]
    received: int = 0
    over_rate: int = 0
    left_out: int = 0
    first_ns: int = 0
    last_ns: int = 0
    all_over_rate: int = 0
    all_left_out: int = 0


class Limiter:
    """The limits; the first that matches a task is its own. The reader's thread calls, collectors read.

    Args:
        limits: In the order of the configuration.
        report: Writes the summaries, as ``EventLog.append``; one per task and interval in which
            something was left out.
        interval_seconds: Between two summaries of a task.
    """

    def __init__(
        self, limits: Sequence[Limit], report: Report, interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._limits = tuple(limits)
        self._report = report
        self._interval = interval_seconds
        self._chosen: dict[TaskID, Limit | None] = {}
        self._buckets: dict[tuple[str, TaskID], Bucket] = {}
        self._accounts: dict[TaskID, _Account] = {}
        self._reported_at = 0.0
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Tell whether there is any limit."""
        return bool(self._limits)

    def limit(self, identity: TaskIdentity) -> Limit | None:
        """Return a task's limit."""
        task_id = identity.task_id
        if task_id not in self._chosen:
            self._chosen[task_id] = next((li for li in self._limits if task_id and li.match(identity)), None)  # fmt: skip
        return self._chosen[task_id]

    def pass_on(self, chunk: Chunk, lane: str, *, new: bool) -> Chunk:
        """Return a chunk without what is over its task's limit.

        Args:
            chunk: As it was read.
            lane: Who gets it; each lane has a state of its own, so that one that is behind
                leaves out what the others left out.
            new: Whether no lane had these records before: then they are counted.
        """
        identity = chunk.task.identity
        limit = self.limit(identity) if self._limits else None
        if limit is None or not chunk.batches:
            return chunk
        bucket = self._buckets.setdefault((lane, identity.task_id), Bucket(max(limit.burst, limit.lines_per_second)))  # fmt: skip
        batches = []
        for batch in chunk.batches:
            kept, left_out = passing(limit, bucket, batch)
            if new:
                self._count(identity, limit, batch.ts_ns, int(kept.sum()), int(left_out.sum()))
            if kept.all():
                batches.append(batch)
            elif kept.any():
                batches.append(batch.take(np.flatnonzero(kept)))
        return replace(chunk, batches=batches)

    def follow(self, lane: str, other: str, identity: TaskIdentity) -> None:
        """Bring a lane that got another's chunk to the other's state."""
        if self._limits and (bucket := self._buckets.get((other, identity.task_id))):
            self._buckets[lane, identity.task_id] = Bucket(bucket.tokens, bucket.second)

    def _count(self, identity: TaskIdentity, limit: Limit, ts_ns: "np.ndarray[Any, np.dtype[np.int64]]", kept: int, left_out: int) -> None:  # fmt: skip
        with self._lock:
            account = self._accounts.get(identity.task_id)
            if account is None:
                own = prometheus_labels(identity)
                labels = tuple(
                    Labels.of({METRIC_NAME: METRIC, "reason": reason, **own})
                    for reason in ("rate", "sample")
                )
                account = self._accounts[identity.task_id] = _Account(identity, limit, labels)
            over_rate = len(ts_ns) - kept - left_out
            account.first_ns = account.first_ns or int(ts_ns.min())
            account.last_ns = max(account.last_ns, int(ts_ns.max()))
            account.received += len(ts_ns)
            account.over_rate += over_rate
            account.left_out += left_out
            account.all_over_rate += over_rate
            account.all_left_out += left_out

    def tick(self, now: float, *, closing: bool = False) -> None:
        """Write the summaries that are due; ``now`` is monotonic seconds."""
        if not self._accounts or (not closing and now - self._reported_at < self._interval):
            return
        self._reported_at = now
        with self._lock:
            due = [account for account in self._accounts.values() if account.over_rate or account.left_out]  # fmt: skip
            said = [_summary(account) for account in due]
            for account in self._accounts.values():
                account.received = account.over_rate = account.left_out = 0
                account.first_ns = account.last_ns = 0
        for account, (message, fields) in zip(due, said, strict=True):
            self._report(account.identity, Level.WARN, message, fields)

    def forget(self, known: Iterable[TaskID]) -> None:
        """Drop the state of tasks that are gone."""
        keep = set(known)
        with self._lock:
            self._accounts = {t: a for t, a in self._accounts.items() if t in keep}
        self._chosen = {t: li for t, li in self._chosen.items() if t in keep}
        self._buckets = {k: b for k, b in self._buckets.items() if k[1] in keep}

    def collect(self) -> list[SeriesBlock]:
        """Return how many records of each limited task were left out, by reason."""
        with self._lock:
            return [
                SeriesBlock(f"limits/{task_id}", a.labels, np.array([a.all_over_rate, a.all_left_out], dtype=np.float64))
                for task_id, a in self._accounts.items()
            ]  # fmt: skip


def _summary(account: _Account) -> tuple[str, dict[str, Any]]:
    kept = account.received - account.over_rate - account.left_out
    why = []
    if account.over_rate:
        why.append(f"{account.over_rate} were over its limit of {account.limit.lines_per_second:g} lines per second")  # fmt: skip
    if account.left_out:
        why.append(f"{account.left_out} were not in the sample of {account.limit.sample:.4g}")
    message = f"{kept} of {account.received} log lines were kept; {', '.join(why)}"
    fields = {
        "event.action": "log_limited",
        "lines": account.received,
        "kept": kept,
        "dropped_rate": account.over_rate,
        "dropped_sample": account.left_out,
        "first_ns": account.first_ns,
        "last_ns": account.last_ns,
    }
    return message, fields

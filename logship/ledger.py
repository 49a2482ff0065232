"""What each task logged and how far behind its shipping is, as series."""

import threading
from collections.abc import Iterable

import numpy as np

from logship.events import DATASET
from logship.source.chunk import Chunk, Stream
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.log import LEVEL_NAMES
from model.samples import Floats, SeriesBlock
from model.task import TaskID, TaskIdentity

_LEVELS = len(LEVEL_NAMES)
KEPT_ROUNDS = 240  # for tasks whose lines came over sockets: an hour of collections


class _Account:
    """One task's figures: records by level, bytes, lag bytes, lag seconds."""

    def __init__(self, identity: TaskIdentity) -> None:
        own = prometheus_labels(identity)
        self.labels = (
            *(
                Labels.of({METRIC_NAME: "log_lines_total", "level": name or "none", **own})
                for name in LEVEL_NAMES
            ),
            *(
                Labels.of({METRIC_NAME: name, **own})
                for name in (
                    "log_bytes_total",
                    "taskscope_logship_lag_bytes",
                    "taskscope_logship_lag_seconds",
                )
            ),
        )
        self.values: Floats = np.zeros(_LEVELS + 3)
        self.seen = 0


class Ledger:
    """The accounts by task; the reader thread writes, collectors read."""

    def __init__(self) -> None:
        self._accounts: dict[TaskID, _Account] = {}
        self._lock = threading.Lock()
        self._rounds = KEPT_ROUNDS  # of collection

    def count(self, chunk: Chunk) -> None:
        """Add the records of a chunk."""
        if not chunk.task.identity.task_id:
            self._count_each(chunk)
            return
        levels = np.zeros(_LEVELS, dtype=np.int64)
        for batch in chunk.batches:
            levels += np.bincount(batch.levels, minlength=_LEVELS)
        with self._lock:
            account = self._account(chunk.task.identity)
            account.values[:_LEVELS] += levels
            account.values[_LEVELS] += chunk.end - chunk.start

    def _count_each(self, chunk: Chunk) -> None:
        """Add the records of a spool, which are of many tasks; events are no lines of theirs."""
        with self._lock:
            for batch in chunk.batches:
                if batch.dataset == DATASET or not batch.identity.task_id:
                    continue
                account = self._account(batch.identity)
                account.values[:_LEVELS] += np.bincount(batch.levels, minlength=_LEVELS)
                account.values[_LEVELS] += int((batch.message.ends - batch.message.starts).sum())
                account.seen = self._rounds

    def known(self) -> set[TaskID]:
        """Return the tasks that have an account."""
        with self._lock:
            return set(self._accounts)

    def _account(self, identity: TaskIdentity) -> _Account:
        account = self._accounts.get(identity.task_id)
        if account is None:
            account = self._accounts[identity.task_id] = _Account(identity)
        return account

    def collect(self, streams: Iterable[Stream], now: float) -> list[SeriesBlock]:
        """Return a block per task that has streams, or sent lines lately; accounts of others are closed."""
        lag: dict[TaskID, tuple[int, float]] = {}
        identities = {}
        waiting = 0.0  # of what came over sockets; whose it is, only its records say
        for stream in streams:
            identity = stream.task.identity
            if not identity.task_id:  # a spool
                waiting = max(waiting, stream.lag_seconds(now))
                continue
            size, seconds = lag.get(identity.task_id, (0, 0.0))
            lag[identity.task_id] = (
                size + stream.lag_bytes(),
                max(seconds, stream.lag_seconds(now)),
            )
            identities[identity.task_id] = identity
        with self._lock:
            self._rounds += 1
            self._accounts = {t: a for t, a in self._accounts.items() if t in lag or self._rounds - a.seen < KEPT_ROUNDS}  # fmt: skip
            blocks = []
            for task_id in lag.keys() | self._accounts.keys():
                account = self._account(identities[task_id]) if task_id in lag else self._accounts[task_id]  # fmt: skip
                account.values[_LEVELS + 1 :] = lag.get(task_id, (0, waiting))
                blocks.append(SeriesBlock(f"logs/{task_id}", account.labels, account.values.copy()))
            return blocks

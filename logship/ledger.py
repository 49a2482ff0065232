"""What each task logged and how far behind its shipping is, as series."""

import threading
from collections.abc import Iterable

import numpy as np

from logship.source.chunk import Chunk, Stream
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.log import LEVEL_NAMES
from model.samples import Floats, SeriesBlock
from model.task import TaskID, TaskIdentity

_LEVELS = len(LEVEL_NAMES)


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


class Ledger:
    """The accounts by task; the reader thread writes, collectors read."""

    def __init__(self) -> None:
        self._accounts: dict[TaskID, _Account] = {}
        self._lock = threading.Lock()

    def count(self, chunk: Chunk) -> None:
        """Add the records of a chunk."""
        if not chunk.task.identity.task_id:
            return
        levels = np.zeros(_LEVELS, dtype=np.int64)
        for batch in chunk.batches:
            levels += np.bincount(batch.levels, minlength=_LEVELS)
        with self._lock:
            account = self._account(chunk.task.identity)
            account.values[:_LEVELS] += levels
            account.values[_LEVELS] += chunk.end - chunk.start

    def _account(self, identity: TaskIdentity) -> _Account:
        account = self._accounts.get(identity.task_id)
        if account is None:
            account = self._accounts[identity.task_id] = _Account(identity)
        return account

    def collect(self, streams: Iterable[Stream], now: float) -> list[SeriesBlock]:
        """Return a block per task that has streams; accounts of others are closed."""
        lag: dict[TaskID, tuple[int, float]] = {}
        identities = {}
        for stream in streams:
            identity = stream.task.identity
            if not identity.task_id:  # the spool of events is no task
                continue
            size, seconds = lag.get(identity.task_id, (0, 0.0))
            lag[identity.task_id] = (
                size + stream.lag_bytes(),
                max(seconds, stream.lag_seconds(now)),
            )
            identities[identity.task_id] = identity
        with self._lock:
            self._accounts = {t: a for t, a in self._accounts.items() if t in lag}
            blocks = []
            for task_id, (size, seconds) in lag.items():
                account = self._account(identities[task_id])
                account.values[_LEVELS + 1] = size
                account.values[_LEVELS + 2] = seconds
                blocks.append(SeriesBlock(f"logs/{task_id}", account.labels, account.values.copy()))
            return blocks

"""Batches of log lines for tests, from plain tuples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.log import LEVEL_NAMES, LogBatch, Spans
from model.task import TaskID
from storage.interface import LogQuery
from storage.logdb.logdb import LogDb
from storage.logdb.settings import LogDbSettings
from tests.fakes.clock import FakeClock
from tests.fakes.tasks import SHOP

START_NS = 1_767_225_600_000_000_000
SECOND = 1_000_000_000


def make_batch(
    messages: Sequence[str | bytes],
    *,
    task: str = "shop-1",
    app: str = "shop",
    stream: str = "stdout",
    source: str = "",
    offset: int = 0,
    levels: Sequence[str] = (),
    fields: Sequence[str] = (),
    seconds: Sequence[float] = (),
    **more: Any,
) -> LogBatch:
    """Return a batch; record i is at second i unless ``seconds`` says otherwise, offsets go by length."""
    texts = [m.encode() if isinstance(m, str) else m for m in messages]
    own = [f.encode() for f in fields] or [b""] * len(texts)
    buf, spans, own_spans, offsets = b"", [], [], []
    for text, one in zip(texts, own, strict=True):
        offsets.append(offset)
        offset += len(text) + 1
        spans.append((len(buf), len(buf) + len(text)))
        buf += text + b"|"
        own_spans.append((len(buf), len(buf) + len(one)))
        buf += one
    times = seconds or range(len(texts))
    codes = [LEVEL_NAMES.index(level) for level in levels] or [0] * len(texts)
    identity = replace(SHOP, app=app, task_name=task, task_id=TaskID(task + "-id"))
    values: dict[str, Any] = {
        "identity": identity,
        "source_id": source or f"{task}/{stream}",
        "stream": stream,
        "run": 1,
        "dataset": "task",
        "buf": buf,
        "message": _spans(spans),
        "fields": _spans(own_spans),
        "ts_ns": np.array([START_NS + round(s * SECOND) for s in times], dtype=np.int64),
        "read_ns": START_NS,
        "levels": np.array(codes, dtype=np.uint8),
        "offsets": np.array(offsets, dtype=np.int64),
        "flags": np.zeros(len(texts), dtype=np.uint8),
        "end_offset": offset,
        "original_bytes": np.zeros(len(texts), dtype=np.int64),
    }
    return LogBatch(**{**values, **more})


def _spans(pairs: Sequence[tuple[int, int]]) -> Spans:
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Spans(array[:, 0].copy(), array[:, 1].copy())


def make_db(directory: Path, clock: FakeClock | None = None, **settings: Any) -> LogDb:
    """Return a store that is not started."""
    return LogDb(directory, LogDbSettings(**settings), clock or FakeClock(), CollectorRegistry())


def find(db: LogDb, text: str = "", **query: Any) -> list[str]:
    """Return the messages that a query finds, oldest first."""
    query.setdefault("ascending", True)
    return [r.document["message"] for r in db.search(LogQuery(text, **query)).records]

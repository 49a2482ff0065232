"""Batches as a table: the columns of a segment, sorted by task, time and place."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from model.log import LogBatch, Spans
from storage.logdb.chunk import Chunk
from storage.logdb.document import COLUMNS, IDENTITY_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

DICTIONARIES: Final = (*IDENTITY_COLUMNS, "stream", "dataset", "tags")  # few values, in runs


def to_table(chunks: Sequence[Chunk]) -> "pa.Table":
    """Return the chunks' records as a table, sorted by task, time and place."""
    import pyarrow as pa

    batches = [chunk.batch for chunk in chunks]
    counts = np.array([len(batch) for batch in batches])
    ts_ns = np.concatenate([batch.ts_ns for batch in batches])
    offsets = np.concatenate([batch.offsets for batch in batches])
    tasks = sorted({batch.identity.task_id for batch in batches})
    rank = {task: i for i, task in enumerate(tasks)}
    task = np.repeat([rank[batch.identity.task_id] for batch in batches], counts)
    source = np.repeat(np.array([chunk.source for chunk in chunks], dtype=np.int64), counts)
    order = np.lexsort((offsets, source, ts_ns, task))

    def shared(values: Sequence[Any]) -> "pa.Array":
        """One value per chunk, as a dictionary column."""
        known = {value: code for code, value in enumerate(dict.fromkeys(values))}
        codes = np.repeat(np.array([known[value] for value in values], dtype=np.int32), counts)
        return pa.DictionaryArray.from_arrays(codes[order], pa.array(list(known), pa.string()))

    def numbers(values: Sequence[int], dtype: Any) -> Any:
        return np.repeat(np.array(values, dtype=dtype), counts)[order]

    columns: dict[str, Any] = {
        "ts_ns": ts_ns[order],
        "source": source[order],
        "offset": offsets[order],
        "seq": numbers([chunk.seq for chunk in chunks], np.int64),
        "message": _texts(batches, [batch.message for batch in batches], order),
        "level": np.concatenate([batch.levels for batch in batches])[order],
        "stream": shared([batch.stream for batch in batches]),
        "run": numbers([batch.run for batch in batches], np.int32),
        "dataset": shared([batch.dataset for batch in batches]),
        "fields": _none_if_empty(_texts(batches, [batch.fields for batch in batches], order)),
        "trace_id": _trace_ids(batches, counts, order),
        "tags": shared([orjson.dumps(b.tags).decode() if b.tags else "" for b in batches]),
        "read_ns": numbers([batch.read_ns for batch in batches], np.int64),
        "original_bytes": np.concatenate([batch.original_bytes for batch in batches])[order],
        "flags": np.concatenate([batch.flags for batch in batches])[order],
    }
    for name in IDENTITY_COLUMNS:
        columns[name] = shared([getattr(batch.identity, name) for batch in batches])
    return pa.table([pa.array(columns[name]) for name in COLUMNS], names=list(COLUMNS))


def _texts(batches: Sequence[LogBatch], spans: Sequence[Spans], order: Any) -> "pa.Array":
    """Return pieces of the batches' bytes as one string column, in the order given."""
    import pyarrow as pa

    base = np.concatenate([[0], np.cumsum([len(batch.buf) for batch in batches])])
    starts = np.concatenate([s.starts + b for s, b in zip(spans, base[:-1], strict=True)])
    ends = np.concatenate([s.ends + b for s, b in zip(spans, base[:-1], strict=True)])
    empty = ends <= starts
    if empty.any():  # an empty span may stand anywhere; let it stand behind the one before it
        behind = np.maximum.accumulate(np.where(empty, 0, ends))
        starts, ends = np.where(empty, behind, starts), np.where(empty, behind, ends)
    data = b"".join(batch.buf for batch in batches)
    if len(data) < 2**31 and (starts[1:] >= ends[:-1]).all():
        # every piece and every gap between two pieces is a string; pieces are the even ones
        bounds = np.empty(2 * len(starts), dtype=np.int32)
        bounds[0::2], bounds[1::2] = starts, ends
        whole = pa.StringArray.from_buffers(
            len(bounds) - 1, pa.py_buffer(bounds.tobytes()), pa.py_buffer(data)
        )
        texts = whole.take(pa.array(order * 2))
        with contextlib.suppress(pa.ArrowInvalid):  # bytes that are no UTF-8: replaced below
            texts.validate(full=True)
            return texts
    return pa.array(
        [data[starts[i] : ends[i]].decode("utf-8", "replace") for i in order.tolist()], pa.string()
    )


def _none_if_empty(texts: "pa.Array") -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(pc.binary_length(texts), 0), pa.scalar(None, pa.string()), texts)


def _trace_ids(batches: Sequence[LogBatch], counts: Any, order: Any) -> "pa.Array":
    import pyarrow as pa

    if not any(batch.trace_ids for batch in batches):
        return pa.array([""], pa.string()).take(pa.array(np.zeros(len(order), dtype=np.int64)))
    texts = [""] * int(counts.sum())
    base = 0
    for batch, count in zip(batches, counts.tolist(), strict=True):
        for index, value in batch.trace_ids.items():
            texts[base + index] = value
        base += count
    return pa.array([texts[i] for i in order.tolist()], pa.string())


def column_bytes(column: "pa.Array") -> "tuple[bytes, np.ndarray[Any, np.dtype[np.int64]]]":
    """Return the bytes of a column of texts, one after another, and where each begins."""
    if not len(column):
        return b"", np.zeros(0, dtype=np.int64)
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    first, last = int(bounds[0]), int(bounds[-1])
    if data is None or first == last:
        return b"", np.zeros(len(column), dtype=np.int64)
    return bytes(memoryview(data)[first:last]), bounds[:-1].astype(np.int64) - first

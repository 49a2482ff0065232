"""Small segments into a larger one, as a stream: memory is a few thousand records of each, not all of them.

All inputs have the same order. Each round finds how far every input is known, takes what lies before
that point from all of them, sorts it and writes it out.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from storage.logdb.read import Lost, OpenSegment
from storage.logdb.segment import Commit, Segment
from storage.logdb.write import place_segment

if TYPE_CHECKING:
    import pyarrow as pa

FAN_IN: Final = 8
_BATCH: Final = 4096
_TIER_BYTES: Final = 64 * 1024

Key = tuple[str, int, int, int]  # task_id, ts_ns, source, offset


def plan(segments: Sequence[Segment], max_bytes: int, max_age_ns: int) -> list[Segment]:
    """Return neighbours in age of about one size that should become one segment; [] if there is nothing to do.

    Each record is written about log8(max_bytes / smallest) times. Segments that are more than
    ``max_age_ns`` apart stay apart, so that old ones can be deleted without the younger.
    """
    run: list[Segment] = []
    for segment in sorted(segments, key=lambda s: s.taken_ns):
        same = (
            run
            and _tier(segment.size) == _tier(run[0].size)
            and segment.taken_ns - run[0].taken_ns <= max_age_ns
        )
        if not same or sum(s.size for s in run) + segment.size > max_bytes:
            run = []
        if segment.size <= max_bytes // 2:
            run.append(segment)
        if len(run) == FAN_IN:
            return run
    return []


def merge(
    segments: Sequence[Segment], files: Sequence[Path], path: Path, commit: Commit, lost: Lost
) -> Segment:
    """Write the records of some segments as one; on disk for good when this returns.

    Row groups that cannot be read any more are left out; ``rows`` of the answer says what is left.

    Args:
        segments: What to merge.
        files: Their paths.
        path: Where to.
        commit: What the manifest in force says.
        lost: Told of what cannot be read.

    Raises:
        OSError: If that failed; nothing of it counts then.
    """
    inputs = [_Input(OpenSegment(file, lost)) for file in files]
    return place_segment(
        path,
        _rounds(inputs),
        inputs[0].schema,
        Segment(
            name=path.name,
            rows=0,
            size=0,
            min_ts_ns=min(s.min_ts_ns for s in segments),
            max_ts_ns=max(s.max_ts_ns for s in segments),
            min_seq=min(s.min_seq for s in segments),
            max_seq=max(s.max_seq for s in segments),
            taken_ns=max(s.taken_ns for s in segments),
        ),
        replaces=[segment.name for segment in segments],
        commit=commit,
    )


def _tier(size: int) -> int:
    tier = 0
    while size > _TIER_BYTES:
        size //= FAN_IN
        tier += 1
    return tier


def _rounds(inputs: "list[_Input]") -> "Iterator[pa.Table]":
    """Yield all records in order, a table at a time."""
    import pyarrow as pa

    while inputs := [one for one in inputs if one.fill()]:
        known = min(one.last for one in inputs)
        parts = [one.take(known) for one in inputs]
        yield _sorted(pa.concat_tables(part for part in parts if part.num_rows))


def _sorted(table: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    table = table.unify_dictionaries().combine_chunks()
    task = table.column("task_id").chunk(0)
    rank = np.argsort(np.argsort(np.array(task.dictionary.to_pylist(), dtype=object)))
    order = np.lexsort(
        (
            table.column("offset").to_numpy(),
            table.column("source").to_numpy(),
            table.column("ts_ns").to_numpy(),
            rank[task.indices.to_numpy()],
        )
    )
    return table.take(pa.array(order))


class _Input:
    """One segment, read from its beginning a batch at a time."""

    def __init__(self, segment: OpenSegment) -> None:
        self.schema = segment.schema()
        self._batches = segment.batches(_BATCH)
        self._table: Any = None
        self.last: Key = ("", 0, 0, 0)

    def fill(self) -> bool:
        """Have records at hand; False if there are no more."""
        if self._table is not None and self._table.num_rows:
            return True
        table = next(self._batches, None)
        if table is None:
            return False
        self._table = table
        end = self._table.num_rows - 1
        names = ("task_id", "ts_ns", "source", "offset")
        task, ts_ns, source, offset = (self._table.column(name)[end].as_py() for name in names)
        self.last = (task, ts_ns, source, offset)
        return True

    def take(self, until: Key) -> "pa.Table":
        """Remove and return the records at hand up to a key, that one included."""
        count = int(self._upto(until).sum())
        taken, self._table = self._table.slice(0, count), self._table.slice(count)
        return taken

    def _upto(self, until: Key) -> npt.NDArray[np.bool_]:
        task = self._table.column("task_id").combine_chunks()
        names = task.dictionary.to_pylist()
        side = np.array([(name > until[0]) - (name < until[0]) for name in names])
        order = side[task.indices.to_numpy()]
        for name, value in zip(("ts_ns", "source", "offset"), until[1:], strict=True):
            column = self._table.column(name).to_numpy()
            here = (column > value).astype(np.int8) - (column < value).astype(np.int8)
            order = np.where(order == 0, here, order)
        mask: npt.NDArray[np.bool_] = order <= 0
        return mask

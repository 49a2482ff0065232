"""Searching the segments: row group by row group, those first whose records come first.

Nothing that a user types reaches anything but comparisons and RE2: there is no SQL behind it that
could be talked into reading another file. A search holds one row group in memory at a time, and all
searches together keep to one budget.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from model.samples import Ints
from storage.interface import LogRecord
from storage.logdb.document import to_record
from storage.logdb.evaluate import Mask, column_of, evaluate, narrow, values_of
from storage.logdb.frames import Frame, Index, UnreadableError
from storage.logdb.read import OpenSegment
from storage.logdb.recent import Key, Window
from storage.logdb.segment import Group, Segment
from storage.logdb.walk import Order, Walk, overlaps, within
from storage.logquery.facets import MAX_VALUES
from storage.logquery.nodes import Node

_FIRST: Final = 8  # a page's records are looked for among so many times as many at first


class Place(Struct, frozen=True):
    """Where a record stands: its row in a row group of a segment."""

    segment: OpenSegment
    group: int
    row: int


class Sealed:
    """Searches Parquet files; may be used from any thread. The caller keeps them from being deleted."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def search(
        self, segments: Sequence[Segment], node: Node, window: Window, limit: int
    ) -> list[tuple[Key, Place]]:
        """Return the first ``limit`` records found, in the order of the window; ``records`` reads them."""
        order = Order(
            ("ts_ns", "source", "offset"),
            not window.ascending,
            (lambda part: part.min_ts_ns) if window.ascending else (lambda part: part.max_ts_ns),
        )

        def inside(frame: Frame, group: Group) -> Mask:
            mask = within(frame, group, window)
            if window.after is not None:
                ts_ns, source, offset = (frame.numbers(name) for name in order.columns)
                beyond = np.greater if window.ascending else np.less
                at, of, where = window.after
                same = (ts_ns == at) & (beyond(source, of) | ((source == of) & beyond(offset, where)))  # fmt: skip
                mask &= beyond(ts_ns, at) | same
            return mask

        parts = [s for s in segments if overlaps(s, window)]
        return self._first(parts, node, order, lambda group: overlaps(group, window), inside, limit)  # fmt: skip

    def stored_after(
        self,
        segments: Sequence[Segment],
        node: Node,
        after: tuple[int, int],
        until_seq: int,
        limit: int,
    ) -> list[tuple[tuple[int, int], LogRecord]]:
        """Return records of batches behind (seq, offset) and before ``until_seq``, in the order they were stored."""
        order = Order(("seq", "offset"), descending=False, begins=lambda part: part.min_seq)
        first, behind = after

        def near(part: Segment | Group) -> bool:
            return part.max_seq >= first and part.min_seq < until_seq

        def inside(frame: Frame, group: Group) -> Mask:
            seq, offset = frame.numbers("seq"), frame.numbers("offset")
            mask: Mask = (seq < until_seq) & ((seq > first) | ((seq == first) & (offset > behind)))
            return mask

        found = self._first([s for s in segments if near(s)], node, order, near, inside, limit)
        records = self.records([place for _, place in found])
        return [((key[0], key[1]), records[place]) for key, place in found if place in records]

    def records(self, places: Sequence[Place]) -> dict[Place, LogRecord]:
        """Return the records that stand there; those that turn out to be damaged are left out."""
        together: dict[tuple[int, int], list[Place]] = {}
        for place in places:
            together.setdefault((id(place.segment), place.group), []).append(place)
        for some in together.values():
            some[0].segment.prefetch([some[0].group])
        found: dict[Place, LogRecord] = {}
        for records in self._walk.workers().map(self._read, together.values()):
            found |= records
        return found

    def _read(self, places: Sequence[Place]) -> dict[Place, LogRecord]:
        """Return records of one row group."""
        with self._walk.frame(places[0].segment, places[0].group) as frame:
            try:
                rows = frame.rows_at([place.row for place in places])
            except UnreadableError:
                return {}
        return {place: to_record(row) for place, row in zip(places, rows, strict=True)}

    def text_bytes(self, places: Sequence[Place]) -> int:
        """Return an upper bound of how large the texts of records are, without reading them."""
        groups = {(id(p.segment), p.group): p.segment.groups[p.group].text_bytes for p in places}
        return sum(groups.values())

    def histogram(
        self,
        segments: Sequence[Segment],
        node: Node,
        window: Window,
        edges_ns: Ints,
        width_ns: int,
    ) -> dict[int, Ints]:
        """Count the records found by level code and bucket."""
        buckets = len(edges_ns)
        total = np.zeros(256 * buckets, dtype=np.int64)
        for frame, index in self._walk.found(segments, node, window, ("ts_ns", "level")):
            ts_ns, levels = frame.numbers("ts_ns"), frame.numbers("level")
            if len(index) < frame.rows:
                ts_ns, levels = ts_ns[index], levels[index]
            bucket = np.minimum((ts_ns - edges_ns[0]) // width_ns, buckets - 1)
            often = np.bincount(levels.astype(np.int64) * buckets + bucket)
            total[: len(often)] += often
        counts = total.reshape(256, buckets)
        return {int(level): counts[level] for level in np.flatnonzero(counts.any(axis=1))}

    def facets(
        self, segments: Sequence[Segment], node: Node, window: Window, fields: Sequence[str]
    ) -> dict[str, Counter[str]]:
        """Count the values of some fields among the records found; of many values only those seen often."""
        counts: dict[str, Counter[str]] = {field: Counter() for field in fields}
        columns = sorted({"ts_ns", *(column_of(field) for field in fields)})
        for frame, index in self._walk.found(segments, node, window, columns):
            for field, counter in counts.items():
                try:
                    lists, which = values_of(field, frame, index)
                except UnreadableError:
                    continue
                often = np.bincount(which, minlength=len(lists))
                for number in np.flatnonzero(often).tolist():
                    for value in set(lists[number]) - {""}:
                        counter[value] += int(often[number])
                if len(counter) > 4 * MAX_VALUES:
                    counts[field] = Counter(dict(counter.most_common(2 * MAX_VALUES)))
        return counts

    def _first(
        self,
        segments: Sequence[Segment],
        node: Node,
        order: Order,
        near: Callable[[Group], bool],
        inside: Callable[[Frame, Group], Mask],
        limit: int,
    ) -> list[tuple[Any, Place]]:
        """Return the first records found, in some order; parts that begin behind them are not looked at."""
        sign = -1 if order.descending else 1
        best: list[tuple[Any, Place]] = []
        for begins, opened, number in self._walk.nearest(segments, node, order, near):
            worst = best[-1][0][0] if len(best) >= limit else None
            if worst is not None and begins > sign * worst:
                break
            with self._walk.frame(opened, number) as frame:
                try:
                    mask = inside(frame, opened.groups[number])
                    if worst is not None:
                        first = frame.numbers(order.columns[0])
                        mask &= first >= worst if order.descending else first <= worst
                    keys = _pick(node, frame, np.flatnonzero(mask), order, limit)
                except UnreadableError:
                    continue
            best += [(key, Place(opened, number, row)) for key, row in keys]
            best.sort(key=lambda item: item[0], reverse=order.descending)
            del best[limit:]
        return best


def _pick(
    node: Node, frame: Frame, index: Index, order: Order, limit: int
) -> list[tuple[tuple[int, ...], int]]:
    """Return the first records found of a row group, as key and row.

    They are looked for where they are first in the order, in steps, so that what is often found
    (a word in every record) is not looked for everywhere.
    """
    index = narrow(node, frame, index)
    if not len(index):
        return []
    step = max(256, _FIRST * limit)
    found = [index[evaluate(node, frame, index)]] if len(index) <= step else []
    if not found:
        first = frame.numbers(order.columns[0])[index]
        rank = np.argsort(first, kind="stable")
        if order.descending:
            rank = rank[::-1]
        count, start = 0, 0
        while start < len(rank) and count < limit:
            end = min(len(rank), start + step)
            tied = first[rank[end - 1]]
            while end < len(rank) and first[rank[end]] == tied:
                end += 1
            some = np.sort(index[rank[start:end]])
            found.append(some[evaluate(node, frame, some)])
            count += len(found[-1])
            # what is rare is looked for in all the rest at once
            start, step = end, 4 * step if count else len(rank)
    rows = np.concatenate(found)
    keys = [frame.numbers(name)[rows] for name in order.columns]
    by = np.lexsort(keys[::-1])
    by = by[::-1][:limit] if order.descending else by[:limit]
    return list(zip(zip(*(key[by].tolist() for key in keys), strict=True), rows[by].tolist(), strict=True))  # fmt: skip

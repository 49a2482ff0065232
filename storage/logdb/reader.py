"""Finding records: pages of a search, the tail, counts over time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from threading import Event

import numpy as np
import numpy.typing as npt

from model.errors import QueryError
from model.identity import ECS_FIELDS
from model.log import Codes8
from model.samples import Ints
from storage.interface import FacetValue, LogContext, LogPage, LogQuery, LogRecord
from storage.logdb.chunk import Chunk, read_id
from storage.logdb.cursor import Stored, read_cursor, search_cursor, tail_cursor
from storage.logdb.document import level_name
from storage.logdb.metrics import LogDbMetrics
from storage.logdb.parts import Parts, Snapshot
from storage.logdb.recent import Finder, Key, Spot, Window
from storage.logdb.sealed import Place, Sealed
from storage.logquery import Node, parse
from storage.logquery.facets import facet_fields, top_values
from storage.logquery.histogram import NS_PER_MS, edges_ms
from storage.logquery.nodes import All, Exists, Not, Term

_PAGE = 500
_PAGE_BYTES = 32 << 20  # of messages; a page of larger ones ends sooner
_AT_ONCE = 64  # records read at once where they may be large
_HEARTBEAT_SECONDS = 10.0
_END = 2**63 - 1


class Reader:
    """See ``storage.interface.LogReader``."""

    def __init__(
        self, parts: Parts, sealed: Sealed, metrics: LogDbMetrics, stopping: Event
    ) -> None:
        self._parts = parts
        self._sealed = sealed
        self._metrics = metrics
        self._stopping = stopping

    def search(self, query: LogQuery) -> LogPage:
        """See ``LogReader.search``; QueryError if the cursor is none of a search."""
        node = parse(query.text)
        after = read_cursor(query.cursor) if query.cursor else None
        if isinstance(after, Stored):
            raise QueryError("this is the cursor of a tail; a search goes on by its own")
        window = Window(query.start_ns, query.end_ns, query.ascending, after)
        with self._metrics.search_duration.time():
            return self._page(node, window, query.limit)[0]

    def histogram(
        self, query: LogQuery, buckets: int
    ) -> tuple[Ints, Mapping[str, npt.NDArray[np.int64]]]:
        """See ``LogReader.histogram``; an open range is closed at the first and last record there is."""
        node = parse(query.text)
        with self._parts.snapshot(query.start_ns, query.end_ns) as now:
            start, end = _span(query, now)
            edges, width_ms = edges_ms(start, end, buckets)
            edges, width = NS_PER_MS * edges, NS_PER_MS * width_ms
            window = Window(start, end, ascending=True)
            counts = {}
            if now.segments:
                counts = self._sealed.histogram(now.segments, node, window, edges, width)
            ts_ns, levels = _times_and_levels(now.chunks, Finder(node), window)
        for level in np.unique(levels).tolist():
            column = counts.setdefault(level, np.zeros(buckets, dtype=np.int64))
            column += np.bincount((ts_ns[levels == level] - edges[0]) // width, minlength=buckets)
        return edges, {level_name(level): column for level, column in sorted(counts.items())}

    def tail(self, text: str, cursor: str, stop: Event) -> Iterator[LogPage]:
        """See ``LogReader.tail``; behind a search's cursor it goes on in the order of time up to now, then live."""
        node = parse(text)
        place = read_cursor(cursor) if cursor else None
        with self._parts.snapshot() as snapshot:
            now = Stored(snapshot.newest_seq, _END)
        return self._tail(node, place or now, now, stop)

    def context(
        self, record_id: str, ts_ns: int, *, before: int = 20, after: int = 20
    ) -> LogContext:
        """See ``LogReader.context``."""
        place = read_id(record_id)
        if place is None:
            raise QueryError(f"{record_id!r} is no id of a record in the log store")
        source, offset = place
        window = Window(ts_ns, ts_ns, ascending=True, after=(ts_ns, source, offset - 1))
        found = self._page(All(), window, 1)[0].records
        if not found or found[0].id != record_id:
            raise QueryError(
                "there is no such record, or no more: it may be older than what is kept"
            )
        (record,) = found
        task = ECS_FIELDS["task_id"]
        same = Term(task, record.document[task]) if task in record.document else Not(Exists(task))
        key = (ts_ns, source, offset)
        older = Window(-(2**63), ts_ns, ascending=False, after=key)
        newer = Window(ts_ns, _END, ascending=True, after=key)
        return LogContext(
            self._page(same, older, before)[0].records[::-1] if before > 0 else (),
            record,
            self._page(same, newer, after)[0].records if after > 0 else (),
        )

    def facets(
        self, query: LogQuery, fields: Sequence[str], limit: int = 10
    ) -> dict[str, tuple[FacetValue, ...]]:
        """See ``LogReader.facets``."""
        node = parse(query.text)
        names = facet_fields(fields)
        window = Window(query.start_ns, query.end_ns)
        wanted = sorted(set(names.values()))
        with self._parts.snapshot(query.start_ns, query.end_ns) as now:
            counts = Finder(node).facets(now.chunks, window, wanted)
            if now.segments:
                for field, more in self._sealed.facets(now.segments, node, window, wanted).items():
                    counts[field].update(more)
        return {name: top_values(counts[field], limit) for name, field in names.items()}

    def _page(self, node: Node, window: Window, limit: int) -> tuple[LogPage, Key | None]:
        with self._parts.snapshot(window.start_ns, window.end_ns) as now:
            found: list[tuple[Key, Spot | Place]] = [
                *Finder(node).search(now.chunks, window, limit + 1),
                *self._sealed.search(now.segments, node, window, limit + 1),
            ]
            found.sort(key=lambda item: item[0], reverse=not window.ascending)
            records, last = self._records(found[:limit])
        if len(found) <= limit and (not found or last == found[-1][0]):
            last = None
        return LogPage(tuple(records), search_cursor(last) if last else ""), last

    def _records(
        self, found: Sequence[tuple[Key, Spot | Place]]
    ) -> tuple[list[LogRecord], Key | None]:
        """Return the records, fewer where they are too large for a page, and the key of the last."""
        places = [place for _, place in found if isinstance(place, Place)]
        step = len(found) if self._sealed.text_bytes(places) <= _PAGE_BYTES else _AT_ONCE
        records: list[LogRecord] = []
        size, last = 0, None
        for start in range(0, len(found), step or 1):
            some = found[start : start + step]
            sealed = self._sealed.records([p for _, p in some if isinstance(p, Place)])
            for key, place in some:
                record = place.record() if isinstance(place, Spot) else sealed.get(place)
                last = key
                if record is not None:
                    records.append(record)
                    size += len(record.document["message"])
                if size > _PAGE_BYTES:
                    return records, last
        return records, last

    def _tail(self, node: Node, place: Key | Stored, now: Stored, stop: Event) -> Iterator[LogPage]:
        if not isinstance(place, Stored):
            yield from self._catch_up(node, place, now)
            place = now
        finder = Finder(node)
        said = time.monotonic()
        while not stop.is_set() and not self._stopping.is_set():
            records, place, more = self._stored_behind(node, finder, place)
            if records or time.monotonic() - said >= _HEARTBEAT_SECONDS:
                said = time.monotonic()
                yield LogPage(tuple(records), tail_cursor(place))
            if more:
                continue
            with self._parts.arrived:
                if self._parts.next_seq - 1 <= place.seq and not self._stopping.is_set():
                    self._parts.arrived.wait(0.2)  # short, as ``stop`` does not wake us

    def _catch_up(self, node: Node, after: Key | None, now: Stored) -> Iterator[LogPage]:
        while after is not None:
            window = Window(-(2**63), _END, ascending=True, after=after, max_seq=now.seq)
            page, after = self._page(node, window, _PAGE)
            if page.records:
                yield page if after else LogPage(page.records, tail_cursor(now))

    def _stored_behind(
        self, node: Node, finder: Finder, place: Stored
    ) -> tuple[list[LogRecord], Stored, bool]:
        """Return some records behind a place, the place behind them, and whether there may be more."""
        with self._parts.snapshot() as now:
            first = now.chunks[0].seq if now.chunks else now.newest_seq + 1
            segments = [s for s in now.segments if s.max_seq >= place.seq]
            if segments and place.seq < first and place != Stored(first - 1, _END):
                after = (place.seq, place.offset)
                rows = self._sealed.stored_after(segments, node, after, first, _PAGE)
                records = [record for _, record in rows]
                if len(rows) == _PAGE:
                    return records, Stored(*rows[-1][0]), True
                return records, Stored(first - 1, _END), True
        records = []
        for chunk in now.chunks:
            if chunk.seq < place.seq:
                continue
            offset = place.offset if chunk.seq == place.seq else -(2**63)
            records += finder.stored_behind(chunk, offset)
            place = Stored(chunk.seq, _END)
            if len(records) >= _PAGE:
                return records, place, True
        return records, place, False


def _times_and_levels(
    chunks: Sequence[Chunk], finder: Finder, window: Window
) -> tuple[Ints, Codes8]:
    """Return time and level code of each record found; an array operation for all, not for each chunk."""
    times, levels = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.uint8)]
    for chunk in chunks:
        index = list(finder.matching(chunk, window))
        if index:
            times.append(chunk.batch.ts_ns[index])
            levels.append(chunk.batch.levels[index])
    return np.concatenate(times), np.concatenate(levels)


def _span(query: LogQuery, now: Snapshot) -> tuple[int, int]:
    """Return the closed range of times that a histogram is over."""
    starts = [chunk.min_ts_ns for chunk in now.chunks]
    ends = [chunk.max_ts_ns for chunk in now.chunks]
    starts += [segment.min_ts_ns for segment in now.segments]
    ends += [segment.max_ts_ns for segment in now.segments]
    start = query.start_ns if query.start_ns > 0 else max(0, min(starts, default=0))
    end = query.end_ns if query.end_ns < _END else max(ends, default=start)
    return start, max(start, end)

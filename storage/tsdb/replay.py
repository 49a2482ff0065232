"""Reading the write-ahead log back into the head after a start."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from model.errors import StorageError
from model.samples import Bools, Exemplar
from storage.interface import Metadata, Refs
from storage.tsdb import records
from storage.tsdb.backlog import Backlog, Cell
from storage.tsdb.chunk import Chunk
from storage.tsdb.growable import Growable
from storage.tsdb.head import Head, Layout
from storage.tsdb.records import Damage, Kind
from storage.tsdb.samples import Samples
from storage.tsdb.sealed import SealedChunk, read_sealed
from storage.tsdb.walreader import read_segment
from storage.tsdb.walsegment import SegmentInfo

log = logging.getLogger(__name__)


class Replayed(Struct):
    """What was found.

    Attributes:
        segments: The segments by number.
        metadata: What is known of metric families.
        samples: Number of samples brought back.
        damaged: Number of places that could not be read, torn tails left out.
    """

    segments: dict[int, SegmentInfo] = field(default_factory=dict)
    metadata: dict[str, Metadata] = field(default_factory=dict)
    samples: int = 0
    damaged: int = 0


def replay(
    directory: Path,
    head: Head,
    late_from: int,
    now_ms: int,
    before_segment: Callable[[int, Callable[[], None]], None] = lambda number, ready: None,
) -> Replayed:
    """Read all segments in order.

    Args:
        directory: Where the segments are.
        head: What takes the samples; scrapes before its ``persisted_ms`` are in blocks already.
        late_from: Samples with own timestamps in segments before this one are in blocks already.
        now_ms: When the layouts are taken to be used last.
        before_segment: Called with a segment's number before it is read, and with what it must call
            before it looks at the head.

    Raises:
        StorageError: If a segment cannot be opened or is of an unknown version.
    """
    found = Replayed()
    backlog = Backlog(head)
    for path in sorted(directory.glob("*.wal")):
        number = int(path.stem)
        before_segment(number, backlog.flush)
        info = found.segments[number] = SegmentInfo(bytes=path.stat().st_size)
        _Segment(backlog, found, info, now_ms, late=number >= late_from).read(path)
    backlog.finish()
    return found


class _Segment:
    """One segment while it is read: its numbers and what they stand for now."""

    def __init__(
        self, backlog: Backlog, found: Replayed, info: SegmentInfo, now_ms: int, *, late: bool
    ) -> None:
        self._head = backlog.head
        self._backlog = backlog
        self._found = found
        self._info = info
        self._now_ms = now_ms
        self._late = late
        self._refs: Growable[np.int64] = Growable(np.int64, -1)
        self._layouts: dict[int, tuple[Layout, Bools | None]] = {}
        self._early: dict[int, list[Chunk]] = {}  # those whose columns are still to come
        self._unknown = 0

    def read(self, path: Path) -> None:
        """Read one file; damage is left out and logged."""
        try:
            for item in read_segment(path):
                if isinstance(item, Damage):
                    self._say(path, item)
                    continue
                self._take(*item)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        except StorageError as error:
            raise StorageError(f"{path}: {error}") from error
        if self._unknown:
            log.error(
                "%s: %d records are lost, or parts of them, with the definitions of their series",
                path,
                self._unknown,
            )

    def _say(self, path: Path, damage: Damage) -> None:
        if damage.torn:
            log.info(
                "%s: the last group was not written whole; its %d bytes are left out",
                path,
                damage.size,
            )
            return
        self._found.damaged += 1
        log.error(
            "%s: damaged at byte %d; %d bytes are lost, going on behind them",
            path,
            damage.offset,
            damage.size,
        )

    def _take(self, kind: Kind, payload: memoryview) -> None:
        if kind is Kind.SERIES:
            refs, table = records.read_series(payload)
            room = self._refs.reserve(int(refs.max(initial=0)) + 1)
            room[refs] = self._head.index.intern_table(table)
        elif kind is Kind.LAYOUT:
            layout_id, refs = records.read_layout(payload)
            here = self._known(refs)
            if here.any():
                known = self._refs.data[refs[here]]
                layout = self._head.layout_of(known, self._now_ms)
                self._layouts[layout_id] = layout, None if here.all() else here
        elif kind is Kind.SCRAPES:
            self._scrapes(records.LoggedScrapes(payload))
        elif kind is Kind.SEALED:
            self._sealed(read_sealed(payload))
        elif kind is Kind.SAMPLES:
            self._samples(records.read_samples(payload))
        elif kind is Kind.TYPED_SAMPLES:
            self._samples(records.read_typed_samples(payload))
        elif kind in (Kind.EXEMPLARS, Kind.ALL_EXEMPLARS):
            refs, exemplars = records.read_exemplars(payload)
            self._exemplars(refs, exemplars, whole=kind is Kind.ALL_EXEMPLARS)
        else:
            self._found.metadata.update(records.read_metadata(payload))

    def _samples(self, samples: Samples) -> None:
        self._info.late = True
        if self._late:
            here = self._known(samples.refs)
            found = samples if here.all() else samples.take(here)
            known = replace(found, refs=self._refs.data[found.refs])
            self._head.append_late(known, self._now_ms)
            self._found.samples += known.size

    def _exemplars(self, refs: Refs, exemplars: list[Exemplar], *, whole: bool) -> None:
        self._info.exemplars = True
        here = self._known(refs)
        if whole and here.all():  # else those before it may be what it lacks
            self._head.exemplars.clear()
        kept = [one for one, known in zip(exemplars, here.tolist(), strict=True) if known]
        self._head.append_exemplars(self._refs.data[refs[here]], kept, logged=True)

    def _scrapes(self, scrapes: records.LoggedScrapes) -> None:
        closed = self._head.persisted_ms
        for layout_id, ts_ms, start, stop in scrapes.heads:
            known = self._layouts.get(layout_id)
            if known is None:
                self._unknown += 1
                continue
            layout, here = known
            if ts_ms <= layout.last_ms or ts_ms < closed:
                continue  # there already: groups are written twice after a failed fsync
            layout.used_ms = self._now_ms
            self._backlog.add(layout, ts_ms, Cell(scrapes, start, stop, here))
            self._found.samples += len(layout.refs)
            if layout.id in self._early:
                self._adopt(layout)
        newest = max((ts_ms for _, ts_ms, *_ in scrapes.heads), default=self._info.max_ts_ms)
        self._info.max_ts_ms = max(self._info.max_ts_ms, newest)

    def _sealed(self, sealed: SealedChunk) -> None:
        layout, here = self._layouts.get(sealed.layout_id, (None, None))
        if layout is None or here is not None or len(sealed.order) != len(layout.refs):
            return
        chunk = sealed.of(layout.refs)
        if chunk.maxt >= self._head.persisted_ms:
            self._early.setdefault(layout.id, []).append(chunk)
            self._adopt(layout)

    def _adopt(self, layout: Layout) -> None:
        """Adopt the chunks whose columns have all been read: some are logged before the newest of these."""
        early = self._early[layout.id]
        while early and early[0].maxt <= layout.last_ms:
            self._backlog.adopt(layout, early.pop(0))
        if not early:
            del self._early[layout.id]

    def _known(self, refs: Refs) -> Bools:
        """Tell which series are defined; if some are not their record is counted."""
        room = self._refs.reserve(int(refs.max(initial=-1)) + 1)
        here: Bools = room[refs] >= 0
        self._unknown += not here.all()
        return here

"""The newest data in memory: slab, sealed chunks and the lane, behind one lock for writers."""

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.errors import StorageError
from model.labels import Labels
from model.samples import Floats, Ints, ScrapeBatch, is_no_sample, no_samples
from storage.interface import Refs
from storage.tsdb.chunk import Chunk, encode_chunk, frame_order
from storage.tsdb.growable import Growable
from storage.tsdb.index import SeriesIndex
from storage.tsdb.lane import Lane, Triples
from storage.tsdb.slab import KEPT, WIDTH, Slab

_LOWEST = np.iinfo(np.int64).min


@dataclass(slots=True)
class Layout:
    """The series of one target, in order.

    Attributes:
        id: What ``Appender.layout`` gave.
        given: Refs as they were given; may name a series twice.
        take: Indices into ``given`` that make each series stand once; None if it does already.
        refs: ``given[take]``.
        order: Order of the frames.
        bounds: Where each frame begins.
        slot: Slot in the slab, -1 if it holds none.
        last_ms: Time of the newest column.
        used_ms: When it was last appended to, by the store's clock.
    """

    id: int
    given: Refs
    take: npt.NDArray[np.intp] | None
    refs: Refs
    order: npt.NDArray[np.intp]
    bounds: Ints
    slot: int = -1
    last_ms: int = _LOWEST
    used_ms: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """How the head took a scrape: as a column of its layout, or what of it went through the lane.

    Attributes:
        column: True if the slab has a column for it.
        values: What the column holds; NO_SAMPLE where the lane has it.
        late: Samples that went through the lane.
    """

    column: bool
    values: Floats
    late: Triples | None


class Head:
    """Takes samples; see the module. ``lock`` is held by whoever changes anything."""

    def __init__(self, index: SeriesIndex, block_ms: int) -> None:
        self.lock = threading.RLock()
        self.index = index
        self.slab = Slab(self.lock)
        self.lane = Lane()
        self.sealed: tuple[Chunk, ...] = ()
        self.persisted_ms = _LOWEST
        self._block_ms = block_ms
        self._layouts: dict[int, Layout] = {}
        self._layout_ids: dict[bytes, int] = {}
        self._next_layout = 1
        self._late_until: Growable[np.int64] = Growable(np.int64, _LOWEST)
        self._latest_late = _LOWEST

    def layout(self, labels: Sequence[Labels]) -> Layout:
        """Return the layout of these series, making it if it is new.

        Raises:
            StorageError: If the limit of series is reached.
        """
        return self.layout_of(self.index.intern(labels))

    def layout_of(self, refs: Refs) -> Layout:
        """Return the layout of these refs, making it if it is new."""
        with self.lock:
            key = refs.tobytes()
            known = self._layout_ids.get(key)
            if known is not None:
                return self._layouts[known]
            take = None
            once = refs
            if len(np.unique(refs)) < len(refs):
                backwards = np.unique(refs[::-1], return_index=True)[1]
                take = np.sort(len(refs) - 1 - backwards)
                once = refs[take]
            order, bounds = frame_order(self.index.metric_codes(once))
            made = Layout(self._next_layout, refs, take, once, order, bounds)
            self._next_layout += 1
            self._layouts[made.id] = made
            self._layout_ids[key] = made.id
            return made

    def get(self, layout_id: int) -> Layout:
        """Return a layout by its id.

        Raises:
            StorageError: If there is none.
        """
        layout = self._layouts.get(layout_id)
        if layout is None:
            raise StorageError(f"layout {layout_id} is not known; register its series again")
        return layout

    def append(self, layout: Layout, batch: ScrapeBatch, now_ms: int) -> Taken:
        """Take one scrape; the caller holds the lock."""
        values = batch.values if layout.take is None else batch.values[layout.take]
        if len(values) != len(layout.refs):
            raise StorageError(
                f"a scrape of layout {layout.id} has {len(batch.values)} values "
                f"for {len(layout.given)} series"
            )
        layout.used_ms = now_ms
        ts = batch.ts_ms
        if ts <= layout.last_ms or ts < self.persisted_ms:
            return Taken(False, values, self._late(layout, ts, values, None))
        late = None
        if ts <= self._latest_late:
            later = self._late_until.reserve(self.index.size)[layout.refs] >= ts
            if later.any():
                late = self._late(layout, ts, values, later)
                values = np.where(later, no_samples(len(values)), values)
        if layout.slot < 0:
            layout.slot = self.slab.allocate(layout.refs)
        elif self.slab.count.data[layout.slot] == WIDTH:
            self.seal(layout, WIDTH - KEPT)
        self.slab.write(layout.slot, ts, values)
        layout.last_ms = ts
        return Taken(True, values, late)

    def append_late(self, samples: Triples) -> None:
        """Take samples with their own timestamps; the caller holds the lock."""
        if not samples.size:
            return
        until = self._late_until.reserve(max(self.index.size, int(samples.refs.max()) + 1))
        np.maximum.at(until, samples.refs, samples.ts_ms)
        self._latest_late = max(self._latest_late, int(samples.ts_ms.max()))
        self.lane.add(samples)

    def lane_withdraw(self, samples: Triples) -> None:
        """Take late samples back that could not be made durable."""
        with self.lock:
            self.lane.withdraw(samples)

    def seal(self, layout: Layout, columns: int) -> None:
        """Move a layout's oldest columns into chunks, cut at the edges of blocks."""
        ts, values = self.slab.columns(layout.slot)
        windows = ts[:columns] // self._block_ms
        edges = [0, *(np.flatnonzero(np.diff(windows)) + 1).tolist(), columns]
        made = [
            encode_chunk(
                layout.refs[layout.order],
                layout.bounds,
                ts[None, a:b].copy(),
                values[layout.order, a:b],
            )
            for a, b in itertools.pairwise(edges)
            if b > a
        ]
        self.sealed = (*self.sealed, *made)
        self.slab.drop(layout.slot, columns)

    def _late(
        self,
        layout: Layout,
        ts_ms: int,
        values: Floats,
        which: npt.NDArray[np.bool_] | None,
    ) -> Triples:
        here = ~is_no_sample(values)
        if which is not None:
            here &= which
        refs = layout.refs[here]
        late = Triples(refs, np.full(len(refs), ts_ms, dtype=np.int64), values[here])
        self.append_late(late)
        return late

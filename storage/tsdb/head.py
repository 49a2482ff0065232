"""The newest data in memory: slab, sealed chunks and the lane, behind one lock for writers."""

import itertools
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.errors import StorageError, UnknownSeriesError
from model.labels import Labels
from model.samples import Exemplar, Floats, Ints, ScrapeBatch, is_no_sample, no_samples
from storage.interface import TS_PAD, Refs
from storage.tsdb.chunk import Chunk, encode_chunk, frame_order
from storage.tsdb.erase import erased
from storage.tsdb.exemplars import Exemplars, Tokens
from storage.tsdb.growable import Growable
from storage.tsdb.index import SeriesIndex
from storage.tsdb.lane import Lane
from storage.tsdb.samples import Samples
from storage.tsdb.slab import KEPT, WIDTH, Slab

_LOWEST = np.iinfo(np.int64).min


class Layout(Struct):
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
        parked_ms: When it gave its slot back, or was made.
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
    parked_ms: int = 0


class Made(NamedTuple):
    """A chunk, and of whose columns it was made."""

    layout: Layout
    chunk: Chunk


class Taken(Struct, frozen=True):
    """How the head took a scrape: as a column of its layout, or what of it went through the lane.

    Attributes:
        column: True if the slab has a column for it.
        values: What the column holds; NO_SAMPLE where the lane has it.
        late: Samples that went through the lane.
        made: Chunks that made room for the column.
    """

    column: bool
    values: Floats
    late: Samples | None
    made: Sequence[Made] = ()


class Head:
    """Takes samples; see the module. ``lock`` is held by whoever changes anything.

    The slab takes only what is newer than anything its series has; everything else goes through
    the lane, which therefore always holds the later append. So chunks and slots of one series never
    overlap, and where the lane has a sample for a time that they have too, the lane's is right.

    Attributes:
        index: Labels by ref.
        slab: The newest columns.
        exemplars: The newest ones.
        lane: Samples with their own timestamps, and late ones.
        sealed: Chunks in memory, oldest first; replaced as a whole.
        persisted_ms: Scrapes before this time go through the lane: their window is closed.
        ahead: Scrapes of these spans of time do too: blocks have late samples of them, that came
            before their time, and the later append must win.
    """

    def __init__(self, index: SeriesIndex, block_ms: int, max_exemplars: int = 0) -> None:
        self.lock = threading.RLock()
        self.index = index
        self.exemplars = Exemplars(index, max_exemplars)
        self.slab = Slab(self.lock)
        self.lane = Lane()
        self.sealed: tuple[Chunk, ...] = ()
        self.persisted_ms = _LOWEST
        self.ahead: Sequence[tuple[int, int]] = ()
        self._block_ms = block_ms
        self._layouts: dict[int, Layout] = {}
        self._layout_ids: dict[bytes, int] = {}
        self._in_slot: dict[int, Layout] = {}
        self._next_layout = 1
        self._newest: Growable[np.int64] = Growable(np.int64, _LOWEST)

    def layout(self, labels: Sequence[Labels], now_ms: int) -> Layout:
        """Return the layout of these series, making it if it is new.

        Raises:
            StorageError: If the limit of series is reached.
        """
        return self.layout_of(self.index.intern(labels), now_ms)

    def layout_of(self, refs: Refs, now_ms: int) -> Layout:
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
            made = Layout(
                self._next_layout, refs, take, once, order, bounds, used_ms=now_ms, parked_ms=now_ms
            )
            self._next_layout += 1
            self._layouts[made.id] = made
            self._layout_ids[key] = made.id
            return made

    def get(self, layout_id: int) -> Layout:
        """Return a layout by its id.

        Raises:
            UnknownSeriesError: If there is none.
        """
        layout = self._layouts.get(layout_id)
        if layout is None:
            raise UnknownSeriesError(f"layout {layout_id} is not known; register its series again")
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
        newest = self._newest.reserve(self.index.size)[layout.refs]
        closed = ts < self.persisted_ms or any(low <= ts <= high for low, high in self.ahead)
        if not closed and len(newest) and int(newest.max()) < ts:
            return Taken(True, values, None, self.put_column(layout, ts, values))
        older = newest >= ts
        if closed or older.all():
            return Taken(False, values, self._late(layout, ts, values, None, now_ms))
        late = self._late(layout, ts, values, older, now_ms)
        values = np.where(older, no_samples(len(values)), values)
        return Taken(True, values, late, self.put_column(layout, ts, values))

    def put_column(self, layout: Layout, ts_ms: int, values: Floats) -> list[Made]:
        """Write a column that is newer than all its series have, and return what was sealed to make room.

        The caller holds the lock.
        """
        made = []
        if layout.slot < 0:
            made = self.unpark(layout)
        elif self.slab.count.data[layout.slot] == WIDTH:
            made = self.seal(layout, WIDTH - KEPT)
        self.slab.write(layout.slot, ts_ms, values)
        layout.last_ms = ts_ms
        self.note_newest(layout)
        return made

    def note_newest(self, layout: Layout) -> None:
        """Note how new the samples of a layout's series are; the caller holds the lock."""
        newest = self._newest.reserve(self.index.size)
        newest[layout.refs] = np.maximum(newest[layout.refs], layout.last_ms)

    def set_floor(self, ts_ms: int) -> None:
        """Send scrapes up to this time through the lane: blocks may hold later appends of that time."""
        self._newest.raise_to(ts_ms)

    def append_late(self, samples: Samples, now_ms: int) -> None:
        """Take samples with their own timestamps; the caller holds the lock."""
        if not samples.size:
            return
        self.index.revive(samples.refs)
        newest = self._newest.reserve(max(self.index.size, int(samples.refs.max()) + 1))
        np.maximum.at(newest, samples.refs, samples.ts_ms)
        self.lane.add(samples, now_ms)

    def append_exemplars(
        self, refs: Refs, exemplars: Sequence[Exemplar], *, logged: bool = False
    ) -> Tokens:
        """Take exemplars, see ``Exemplars.add``; the caller holds the lock."""
        self.index.revive(refs)
        return self.exemplars.add(refs, exemplars, logged=logged)

    def oldest_ms(self) -> int:
        """Return the time of the oldest scrape in memory; a very late time if there is none."""
        oldest = min((chunk.mint for chunk in self.sealed), default=TS_PAD)
        return min(oldest, int(self.slab.ts_ms[:, 0].min(initial=TS_PAD)))

    def close_until(self, until: int) -> list[Chunk]:
        """Seal every scrape before a time, and return the chunks; scrapes from before now go through the lane."""
        with self.lock:
            self.persisted_ms = max(self.persisted_ms, until)
            layouts = list(self._in_slot.values())
        for layout in layouts:
            with self.lock:
                if layout.slot >= 0:
                    columns = int(np.searchsorted(self.slab.columns(layout.slot)[0], until))
                    if columns:
                        self.seal(layout, columns)
        return [chunk for chunk in self.sealed if chunk.mint < until]

    def release(self, chunks: Sequence[Chunk]) -> None:
        """Forget chunks that are in a block now."""
        gone = {chunk.key for chunk in chunks}
        with self.lock:
            self.sealed = tuple(c for c in self.sealed if c.key not in gone)

    def park_idle(self, now_ms: int, idle_ms: int, forget_ms: int) -> None:
        """Seal layouts that get no samples and give their rows back; forget those unused for long."""
        with self.lock:
            layouts = list(self._layouts.values())
        for layout in layouts:
            layout.used_ms = min(layout.used_ms, now_ms)  # the clock may have gone back
            layout.parked_ms = min(layout.parked_ms, now_ms)
            idle = now_ms - layout.used_ms
            if idle >= idle_ms and layout.slot >= 0:
                with self.lock:
                    self._park(layout)
                    layout.parked_ms = now_ms
            elif min(idle, now_ms - layout.parked_ms) >= forget_ms and layout.slot < 0:
                with self.lock:
                    del self._layouts[layout.id]
                    del self._layout_ids[layout.given.tobytes()]

    def erase(self, refs: Refs, mint: int, maxt: int) -> None:
        """Let some series have no samples in [mint, maxt]; the caller holds the lock."""
        if not len(refs):
            return
        gone = np.zeros(self.index.size, dtype=np.bool_)
        gone[refs] = True
        self.slab.erase(refs, mint, maxt)
        self.sealed = tuple(
            left for chunk in self.sealed if (left := erased(chunk, gone, mint, maxt)) is not None
        )
        self.lane.erase(gone, mint, maxt)

    def refs_in_use(self) -> list[Refs]:
        """Return the refs that anything in memory names; the caller holds the lock."""
        slots = [layout.refs for layout in self._in_slot.values()]
        late = self.lane.view()
        lanes = [run.refs for run in late.runs] + [one.refs for one in late.waiting]
        return [self.exemplars.refs(), *slots, *lanes, *(chunk.refs for chunk in self.sealed)]

    def refs_of_layouts(self) -> list[Refs]:
        """Return the refs of all layouts that are known; the caller holds the lock."""
        return [layout.given for layout in self._layouts.values()]

    def reset(self, refs: Refs) -> None:
        """Forget how new the samples of some series are, that are given away to other labels."""
        self._newest.clear(refs)

    def seal(self, layout: Layout, columns: int) -> list[Made]:
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
        return [Made(layout, chunk) for chunk in made]

    def rivals(self, refs: Refs) -> list[Layout]:
        """Return the layouts that have rows now and most of whose series are among these."""
        owners = self.slab.owners(refs)
        found = [(self._in_slot[slot], shared) for slot, shared in owners.items()]
        return [layout for layout, shared in found if shared * 2 > len(layout.refs)]

    def unpark(self, layout: Layout) -> list[Made]:
        """Give a layout rows; layouts that it takes most series from are sealed at once."""
        made = [one for rival in self.rivals(layout.refs) for one in self._park(rival)]
        self.index.revive(layout.refs)
        layout.slot = self.slab.allocate(layout.refs)
        self._in_slot[layout.slot] = layout
        return made

    def _park(self, layout: Layout) -> list[Made]:
        made: list[Made] = []
        if layout.slot >= 0:
            columns = int(self.slab.count.data[layout.slot])
            if columns:
                made = self.seal(layout, columns)
            self.slab.free(layout.slot)
            del self._in_slot[layout.slot]
            layout.slot = -1
        return made

    def _late(
        self,
        layout: Layout,
        ts_ms: int,
        values: Floats,
        which: npt.NDArray[np.bool_] | None,
        now_ms: int,
    ) -> Samples:
        here = ~is_no_sample(values)
        if which is not None:
            here &= which
        refs = layout.refs[here]
        late = Samples(refs, np.full(len(refs), ts_ms, dtype=np.int64), values[here])
        self.append_late(late, now_ms)
        return late

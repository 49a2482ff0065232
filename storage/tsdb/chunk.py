"""Chunks: the sealed samples of one target over some time, cut into frames; in memory or in a block."""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from model.histogram.pool import HistogramColumn
from model.samples import Bools, Floats, Ints, is_no_sample, is_stale
from storage.interface import Refs
from storage.tsdb.codec import decode_times, encode_frame, encode_times
from storage.tsdb.damage import DamagedError
from storage.tsdb.scaling import scale
from storage.tsdb.stack import Stack
from storage.tsdb.typed import Frame, cut_column, decode_whole, encode_typed_frame

FRAME_SERIES: Final = 50

_numbers = itertools.count(1)
ItemT = TypeVar("ItemT", Frame, Ints)


class Frames(Protocol):
    """Where a chunk's bytes are."""

    def times(self) -> bytes:
        """Return the encoded timestamps."""
        ...

    def frame(self, number: int) -> bytes:
        """Return one encoded frame."""
        ...


class MemoryFrames(Struct, frozen=True):
    """A chunk's bytes in memory; its timestamps stay as they are, they are few."""

    ts_ms: Ints
    frames: tuple[bytes, ...]

    def times(self) -> bytes:
        """Return the encoded timestamps."""
        return encode_times(self.ts_ms)

    def frame(self, number: int) -> bytes:
        """Return one encoded frame."""
        return self.frames[number]


class Chunk(Struct, frozen=True):
    """Series that share their timestamps (one row) or not (a row of timestamps for each series).

    Attributes:
        refs: int64, shape (k,), in the order of the frames.
        bounds: int64, shape (frames + 1,): frame i holds ``refs[bounds[i]:bounds[i + 1]]``.
        mint: Time of the first sample.
        maxt: Time of the last one.
        width: Number of columns.
        late: True for samples that came with their own timestamps; they win over all others.
        frames: The bytes.
        key: Unique in this process.
    """

    refs: Refs
    bounds: npt.NDArray[np.int64]
    mint: int
    maxt: int
    width: int
    late: bool
    frames: Frames
    key: int = field(default_factory=lambda: next(_numbers))


def frame_order(metric_codes: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.intp], Ints]:
    """Sort a target's series by metric and cut them into frames.

    Returns:
        ``(order, bounds)``: the series in the order of the frames, and where each frame begins.
    """
    order = np.argsort(metric_codes, kind="stable")
    ordered = metric_codes[order]
    edges = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(ordered)]
    bounds = [0]
    for start, stop in itertools.pairwise(edges):
        if stop - bounds[-1] > FRAME_SERIES and start > bounds[-1]:
            bounds.append(start)
        bounds.extend(range(bounds[-1] + FRAME_SERIES, stop, FRAME_SERIES))
    bounds.append(len(ordered))
    return order, np.unique(np.array(bounds, dtype=np.int64))


def encode_late_chunk(
    refs: Refs,
    ts_ms: Ints,
    values: Floats,
    start_ms: Ints | None,
    histograms: Stack | None,
) -> Chunk:
    """Make a chunk of one frame from samples with their own timestamps; shapes (k, T), ``ts_ms`` (g, T)."""
    frame = encode_typed_frame(values, start_ms, histograms)
    bounds = np.array([0, len(refs)], dtype=np.int64)
    memory = MemoryFrames(ts_ms, (frame,))
    return Chunk(refs, bounds, int(ts_ms[:, 0].min()), _last(ts_ms), ts_ms.shape[1], True, memory)


def encode_chunk(refs: Refs, bounds: Ints, ts_ms: Ints, values: Floats) -> Chunk:
    """Make a chunk of scrapes; ``refs`` and ``values`` (k, T) in the order of the frames, ``ts_ms`` (1, T)."""
    scaled = scale(np.ascontiguousarray(values))
    if scaled.special is None:
        gaps: Bools = np.zeros(len(refs), dtype=np.bool_)
    else:
        gaps = np.any(is_no_sample(scaled.values) | is_stale(scaled.values), axis=1)
    frames = tuple(
        encode_frame(scaled, np.arange(a, b), dense=not gaps[a:b].any())
        for a, b in itertools.pairwise(bounds.tolist())
    )
    memory = MemoryFrames(ts_ms, frames)
    mint, maxt = int(ts_ms[0, 0]), int(ts_ms[0, -1])
    return Chunk(refs, bounds, mint, maxt, ts_ms.shape[1], False, memory)


def _last(ts_ms: Ints) -> int:
    pad = np.iinfo(np.int64).max
    return int(np.where(ts_ms == pad, np.iinfo(np.int64).min, ts_ms).max())


def times_of(chunk: Chunk) -> Ints:
    """Return a chunk's timestamps, shape (g, T)."""
    if isinstance(chunk.frames, MemoryFrames):
        return chunk.frames.ts_ms
    return decode_times(chunk.frames.times())


class FrameCache:
    """Decoded frames and timestamps, the most recently used ones."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int], Frame | Ints] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def times(self, chunk: Chunk) -> Ints:
        """Return a chunk's timestamps, shape (g, T)."""
        if isinstance(chunk.frames, MemoryFrames):
            return chunk.frames.ts_ms
        found = self._get((chunk.key, -1))
        if isinstance(found, np.ndarray):
            return found
        return self._put((chunk.key, -1), times_of(chunk))

    def frame(self, chunk: Chunk, number: int) -> Frame:
        """Return one frame, decoded."""
        found = self._get((chunk.key, number))
        if isinstance(found, Frame):
            return found
        return self._put((chunk.key, number), decode_whole(chunk.frames.frame(number)))

    def _get(self, key: tuple[int, int]) -> Frame | Ints | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
                self._kept.move_to_end(key)
            return found

    def _put(self, key: tuple[int, int], item: ItemT) -> ItemT:
        with self._lock:
            if key not in self._kept:
                self.bytes += item.nbytes
            self._kept[key] = item
            while self.bytes > self.max_bytes:
                _, gone = self._kept.popitem(last=False)
                self.bytes -= gone.nbytes
        return item


class Piece(Struct, frozen=True):
    """Some series of one chunk, cut to a range.

    Attributes:
        source: Pieces with the same source share their timestamps.
        pos: int64, shape (k,): position of each series in the caller's list.
        ts_ms: int64, shape (T,), or (k, T) padded with TS_PAD where series have their own.
        values: float64, shape (k, T).
        dense: True if there is neither NO_SAMPLE nor a stale marker.
        start_ms: int64, shape (k, T), 0 for none; None if there is none.
        histograms: ``index`` of shape (k, T); None if there is none.
    """

    source: int
    pos: npt.NDArray[np.int64]
    ts_ms: Ints
    values: Floats
    dense: bool
    start_ms: Ints | None = None
    histograms: HistogramColumn | None = None


Tell = Callable[[Chunk, int, DamagedError], None]


class FrameTable:
    """Which series are in which frames of some chunks.

    Args:
        chunks: The chunks.
        tell: Called with the chunk and its frame where one is damaged; it is left out then.
    """

    def __init__(self, chunks: Sequence[Chunk], tell: Tell | None = None) -> None:
        self.chunks = tuple(chunks)
        self._tell = tell
        sizes = [len(c.refs) for c in chunks]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        empty = np.empty(0, np.int64)
        self._refs = np.concatenate([empty, *(c.refs for c in chunks)])
        counts = [len(c.bounds) - 1 for c in chunks]
        self._starts = np.concatenate(
            [empty, *(c.bounds[:-1] + o for c, o in zip(chunks, offsets.tolist(), strict=False))]
        )
        self._chunk_of = np.repeat(np.arange(len(chunks)), counts)
        self._first_frame = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._mint = np.array([c.mint for c in chunks], dtype=np.int64)
        self._maxt = np.array([c.maxt for c in chunks], dtype=np.int64)
        self.mint = int(self._mint.min()) if chunks else np.iinfo(np.int64).max
        self.maxt = int(self._maxt.max()) if chunks else np.iinfo(np.int64).min

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self._starts)

    def present(self, mint: int, maxt: int) -> Refs:
        """Return the refs of the series in chunks that touch the range; may name one twice."""
        near = (self._mint <= maxt) & (self._maxt >= mint)
        if near.all():
            return self._refs
        parts = [c.refs for c, ok in zip(self.chunks, near.tolist(), strict=True) if ok]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def pieces(
        self, lookup: npt.NDArray[np.int32], mint: int, maxt: int, cache: FrameCache
    ) -> Iterator[Piece]:
        """Decode the frames that hold wanted series and touch the range."""
        if self.mint > maxt or self.maxt < mint or not len(self._refs):
            return
        refs = self._refs
        if int(refs.max()) >= len(lookup):
            wanted = np.flatnonzero(refs < len(lookup))
            hits = wanted[lookup[refs[wanted]] >= 0]
        else:
            hits = np.flatnonzero(lookup[refs] >= 0)
        frame_of = np.searchsorted(self._starts, hits, side="right") - 1
        near = (self._mint <= maxt) & (self._maxt >= mint)
        touching = near[self._chunk_of[frame_of]]
        hits, frame_of = hits[touching], frame_of[touching]
        if not len(hits):
            return
        cuts = np.flatnonzero(np.diff(frame_of)) + 1
        for part in np.split(np.arange(len(hits)), cuts):
            number = int(frame_of[part[0]])
            chunk = self.chunks[self._chunk_of[number]]
            entries = hits[part]
            pos = lookup[refs[entries]].astype(np.int64)
            rows = entries - self._starts[number]
            try:
                times = cache.times(chunk)
                piece = self._cut(chunk, number, pos, rows, (mint, maxt), times=times, cache=cache)
            except DamagedError as error:
                if self._tell is None:
                    raise
                self._tell(chunk, number - int(self._first_frame[self._chunk_of[number]]), error)
                continue
            if piece is not None:
                yield piece

    def _cut(
        self,
        chunk: Chunk,
        number: int,
        pos: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        span: tuple[int, int],
        *,
        times: Ints,
        cache: FrameCache,
    ) -> Piece | None:
        """Decode some rows of one frame; None if no column is in the range."""
        local = number - int(self._first_frame[self._chunk_of[number]])
        every = slice(None)
        if len(times) > 1:
            frame = cache.frame(chunk, local)
            own = times[rows + int(chunk.bounds[local])]
            return _piece(chunk, pos, own, frame, rows, every)
        low = int(np.searchsorted(times[0], span[0]))
        high = int(np.searchsorted(times[0], span[1], side="right"))
        if high <= low:
            return None
        frame = cache.frame(chunk, local)
        return _piece(chunk, pos, times[0, low:high], frame, rows, slice(low, high))


def _piece(
    chunk: Chunk,
    pos: npt.NDArray[np.int64],
    ts_ms: Ints,
    frame: Frame,
    rows: npt.NDArray[np.int64],
    columns: slice,
) -> Piece:
    values, start = frame.values, frame.start_ms
    cut = values[:, columns] if len(rows) == len(values) else values[rows, columns]
    return Piece(
        chunk.key,
        pos,
        ts_ms,
        cut,
        frame.dense,
        None if start is None else start[rows, columns],
        cut_column(frame.histograms, rows, columns),
    )

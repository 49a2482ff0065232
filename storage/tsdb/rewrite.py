"""Several blocks as one: frames are copied as they are where nothing overlaps, and made anew where it does.

Labels stand in an index of the rewriting's own, so that the store's index does not learn of series
that nobody asks for. Series that have late samples, or of which something was deleted, are read as
a query would read them and encoded again, some at a time: memory is bounded by that and by the
blocks' own indices.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from model.samples import Bools, is_no_sample
from storage.interface import TS_PAD, Group, Refs
from storage.tsdb.block import Block
from storage.tsdb.blockwriter import BlockWriter
from storage.tsdb.chunk import (
    Chunk,
    FrameCache,
    FrameTable,
    encode_chunk,
    frame_order,
    times_of,
)
from storage.tsdb.codec import check_frame
from storage.tsdb.deletions import Deletions, cuts, without
from storage.tsdb.index import SeriesIndex
from storage.tsdb.join import join
from storage.tsdb.late import MOST_COLUMNS, late_chunks
from storage.tsdb.limits import SeriesLimits
from storage.tsdb.merge import Parts, assemble
from storage.tsdb.samples import Samples, settle
from storage.tsdb.sources import add_pieces
from storage.tsdb.stack import Stack

_SAMPLES_AT_ONCE: Final = 500_000
_SHARED: Final = 4  # series with the same times that are worth a chunk of their own
_EVER: Final = (-(2**62), 2**62)


class InterruptedRewrite(Exception):  # noqa: N818  (nothing went wrong: the store stops)
    """The store stops; what was written so far is taken away."""


class Rewrite:
    """One rewriting.

    Args:
        inputs: The blocks, by their rank; late ones win over the others.
        deletions: What was deleted is left out.
        stopping: Asked now and then.

    Attributes:
        index: The labels of the refs in what is written.
        touched: The series that are encoded again, as a mask over refs.
    """

    def __init__(
        self, inputs: Sequence[Block], deletions: Deletions, stopping: Callable[[], bool]
    ) -> None:
        self._deletions = deletions
        self._stopping = stopping
        self.index = SeriesIndex(SeriesLimits(2**62))
        self._tables = [(one, FrameTable(one.read_chunks(self.index))) for one in inputs]
        self._plain = [c for b, t in self._tables if not b.meta.late for c in t.chunks]
        self.touched = self._find_touched()

    def write(self, writer: BlockWriter) -> None:
        """Write everything.

        Raises:
            InterruptedRewrite: If ``stopping`` said so.
            StorageError: If a block cannot be read.
            OSError: If the disk is full or broken.
        """
        copied = [chunk for chunk in self._plain if not self.touched[chunk.refs].any()]
        shared = [chunk for chunk in copied if not _own_times(chunk)]
        shared_keys = {chunk.key for chunk in shared}
        own = (chunk for chunk in copied if chunk.key not in shared_keys)
        for chunk in itertools.chain(join(shared), own, self._encoded()):
            if self._stopping():
                raise InterruptedRewrite
            for number in range(len(chunk.bounds) - 1):
                check_frame(chunk.frames.frame(number))
            writer.add(chunk)

    def _find_touched(self) -> Bools:
        touched = np.zeros(self.index.size, dtype=np.bool_)
        for block, table in self._tables:
            if block.meta.late:
                for chunk in table.chunks:
                    touched[chunk.refs] = True
            meta = block.meta
            for deletion in self._deletions.of_block(meta.sequence, meta.mint, meta.maxt):
                touched[deletion.refs(self.index)] = True
        grown = bool(touched.any())
        while grown:  # series that share their times stay together
            grown = False
            for chunk in self._plain:
                mine = touched[chunk.refs]
                if mine.any() and not mine.all():
                    touched[chunk.refs] = True
                    grown = True
        return touched

    def _encoded(self) -> Iterator[Chunk]:
        for refs in self._batches():
            if self._stopping():
                raise InterruptedRewrite
            lookup = np.full(self.index.size, -1, dtype=np.int32)
            lookup[refs] = np.arange(len(refs), dtype=np.int32)
            parts = Parts(len(refs))
            cache = FrameCache(0)
            for block, table in self._tables:
                meta = block.meta
                deleted = self._deletions.of_block(meta.sequence, meta.mint, meta.maxt)
                what = cuts(deleted, self.index, lookup, len(refs))
                pieces = without(table.pieces(lookup, *_EVER, cache), what)
                add_pieces(parts, pieces, *_EVER, late=meta.late)
            found, groups = assemble(parts, inside=True)
            for group in groups:
                yield from chunks_of(group, refs[found], self.index)

    def _batches(self) -> Iterator[Refs]:
        """Yield the touched series, so many at once as have few enough samples."""
        samples = np.zeros(self.index.size, dtype=np.int64)
        for _, table in self._tables:
            for chunk in table.chunks:
                samples[chunk.refs] += chunk.width
        refs = np.flatnonzero(self.touched)
        number = np.cumsum(samples[refs]) // _SAMPLES_AT_ONCE
        yield from np.split(refs, np.flatnonzero(np.diff(number)) + 1) if len(refs) else ()


def chunks_of(group: Group, refs: Refs, index: SeriesIndex) -> Iterator[Chunk]:
    """Encode a group: floats that share their times with others as scrapes are, the rest as late samples."""
    shares = np.bincount(group.ts_row, minlength=len(group.ts_ms))
    plain = group.start_ms is None and group.histograms is None
    rest = []
    for ts_row in range(len(group.ts_ms)):
        rows = np.flatnonzero(group.ts_row == ts_row)
        if not plain or (shares[ts_row] < _SHARED and len(group.ts_ms) > 1):
            rest.append(rows)
            continue
        ts = group.ts_ms[ts_row : ts_row + 1]
        used = np.flatnonzero((ts[0] != TS_PAD) & ~is_no_sample(group.values[rows]).all(axis=0))
        mine = refs[group.rows[rows]]
        order, bounds = frame_order(index.metric_codes(mine))
        for first in range(0, len(used), MOST_COLUMNS):
            columns = used[first : first + MOST_COLUMNS]
            values = group.values[np.ix_(rows[order], columns)]
            yield encode_chunk(mine[order], bounds, ts[:, columns], values)
    if rest:
        yield from late_chunks(_samples(group, np.concatenate(rest), refs), index.metric_codes)


def _samples(group: Group, rows: npt.NDArray[np.intp], refs: Refs) -> Samples:
    ts, values = group.ts_ms[group.ts_row[rows]], group.values[rows]
    column = None if group.histograms is None else group.histograms.take(rows)
    here = (ts != TS_PAD) & ~is_no_sample(values)
    if column is not None:
        here |= column.index >= 0
    return settle(
        Samples(
            np.repeat(refs[group.rows[rows]], here.sum(axis=1)),
            ts[here],
            values[here],
            None if group.start_ms is None else group.start_ms[rows][here],
            None if column is None else Stack.of(column.take(here)),
        )
    )


def _own_times(chunk: Chunk) -> bool:
    return len(times_of(chunk)) > 1

"""Reading: what the head, the lane and the blocks have, as one answer."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.labels import Matcher
from storage.interface import TS_PAD, Hints, Refs, SeriesSet
from storage.tsdb.answer import answer_of
from storage.tsdb.block import Block
from storage.tsdb.blocks import Blocks
from storage.tsdb.chunk import Chunk, FrameCache, FrameTable
from storage.tsdb.deletions import Deletion, Deletions, cuts, without
from storage.tsdb.head import Head
from storage.tsdb.merge import Parts, assemble
from storage.tsdb.panel_reader import PanelReader
from storage.tsdb.parts import Part
from storage.tsdb.selection import Selections
from storage.tsdb.side_by_side import lay_out, only_last
from storage.tsdb.sources import add_pieces

Mask = npt.NDArray[np.bool_]


class Querier:
    """Answers the questions of ``storage.interface.Queryable``; any thread may ask."""

    def __init__(self, head: Head, blocks: Blocks, deletions: Deletions, cache: FrameCache) -> None:
        self._deletions = deletions
        self._head = head
        self._index = head.index
        self._blocks = blocks
        self._cache = cache
        self._sealed: tuple[tuple[Chunk, ...], FrameTable] = ((), FrameTable(()))
        self._selections = Selections(head.index)
        self._panels = PanelReader(self, head, blocks, deletions, cache.max_bytes)

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        """See ``Queryable``.

        Raises:
            StorageError: If a block cannot be read.
            QueryError: If a regular expression is not valid RE2.
        """
        with self._blocks.readers.reading():
            return self._select(matchers, mint, maxt, hints)

    def _select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        if hints.series_only:
            return SeriesSet(self._index.table(self._matching(matchers, mint, maxt)), ())
        selection = self._blocks.loaded(
            self._index, mint, maxt, lambda: self._selections.find(matchers)
        )
        parts = self._panels.cut(selection, mint, min(maxt, TS_PAD - 1))
        laid: Sequence[Part] | None = None
        if parts is not None and hints.last_only:
            laid = only_last(selection.size, parts)
        if parts is not None and laid is None:
            laid = lay_out(selection.size, parts)
        if laid is not None:
            kept, fast = answer_of(selection.size, laid)
            table = selection.table if kept is None else selection.table.take(np.flatnonzero(kept))
            return SeriesSet(table, fast)
        refs = selection.refs
        lookup = np.full(self._index.size, -1, dtype=np.int32)
        lookup[refs] = np.arange(len(refs), dtype=np.int32)
        found, groups = assemble(self._parts(refs, lookup, mint, maxt))
        return SeriesSet(self._index.table(refs[found]), groups)

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        """See ``Queryable``."""
        with self._blocks.readers.reading():
            return self._index.names(self._matching(matchers, mint, maxt))

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        """See ``Queryable``."""
        with self._blocks.readers.reading():
            return self._index.values(name, self._matching(matchers, mint, maxt))

    def sealed_table(self) -> FrameTable:
        """Return which series are in which sealed frames of the head."""
        chunks = self._head.sealed
        known, table = self._sealed
        if known is not chunks:
            table = FrameTable(chunks)
            self._sealed = (chunks, table)
        return table

    def _parts(self, refs: Refs, lookup: npt.NDArray[np.int32], mint: int, maxt: int) -> Parts:
        # samples move from the slab to chunks to blocks, and from the lane to blocks; whoever reads
        # in the same order may see some twice (they are merged) but never misses one
        parts = Parts(len(refs))
        parts.slab = self._head.slab.gather(refs, lookup, mint, maxt)
        lane = self._head.lane.view().pick(lookup, mint, maxt)
        sealed = list(self.sealed_table().pieces(lookup, mint, maxt, self._cache))
        for block in self._blocks.touching(mint, maxt):
            what = cuts(self._deleted(block), self._index, lookup, len(refs))
            pieces = block.pieces(self._index, lookup, mint, maxt, self._cache)
            add_pieces(parts, without(pieces, what), mint, maxt, late=block.meta.late)
        parts.pieces.extend(sealed)
        parts.late.extend(lane)
        return parts

    def _matching(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Refs:
        """Return the series that match and have a slot, frame or late sample that touches the range."""
        refs = self._blocks.select(self._index, matchers, mint, maxt)
        return refs[self._present(mint, maxt)[refs]]

    def _present(self, mint: int, maxt: int) -> Mask:
        parts = [
            self._head.slab.present(mint, maxt),
            self._head.lane.view().present(mint, maxt),
            self.sealed_table().present(mint, maxt),
        ]
        parts.extend(
            self._in_block(block, mint, maxt) for block in self._blocks.touching(mint, maxt)
        )
        refs = np.concatenate(parts)
        mask = np.zeros(max(self._index.size, int(refs.max(initial=0)) + 1), dtype=np.bool_)
        mask[refs] = True
        return mask

    def _in_block(self, block: Block, mint: int, maxt: int) -> Refs:
        tables = block.tables(self._index, mint, maxt)
        refs = np.concatenate(
            [np.empty(0, np.int64), *(table.present(mint, maxt) for table in tables)]
        )
        low, high = max(mint, block.meta.mint), min(maxt, block.meta.maxt)
        for deletion in self._deleted(block):
            if deletion.mint <= low and deletion.maxt >= high:
                refs = refs[~np.isin(refs, deletion.refs(self._index))]
        return refs

    def _deleted(self, block: Block) -> list[Deletion]:
        meta = block.meta
        return self._deletions.of_block(meta.sequence, meta.mint, meta.maxt)

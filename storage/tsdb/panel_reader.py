"""Cuts a selection out of slab, lane, sealed chunks and blocks, panel by panel."""

from collections.abc import Iterable
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from model.errors import StorageError
from storage.tsdb.blocks import Blocks
from storage.tsdb.chunk import FrameTable
from storage.tsdb.cutouts import Cutout, without
from storage.tsdb.damage import DamagedError
from storage.tsdb.deletions import Deletion, Deletions
from storage.tsdb.frame_panels import PanelCache, TablePanels
from storage.tsdb.head import Head
from storage.tsdb.lane_panels import LanePanels
from storage.tsdb.panel import NoPanelError, Panel
from storage.tsdb.parts import Part
from storage.tsdb.selection import Selection


class SealedTable(Protocol):
    """Knows the sealed chunks of the head."""

    def sealed_table(self) -> FrameTable:
        """Return which series are in which sealed frames of the head."""
        ...


class PanelReader:
    """Reads what lies in panels; any thread may ask."""

    def __init__(
        self,
        sealed: SealedTable,
        head: Head,
        blocks: Blocks,
        deletions: Deletions,
        max_bytes: int,
    ) -> None:
        self._deletions = deletions
        self._sealed_table = sealed
        self._head = head
        self._blocks = blocks
        self._cache = PanelCache(max_bytes)
        self._sealed = TablePanels(self._cache)
        self._of_table: WeakKeyDictionary[FrameTable, TablePanels] = WeakKeyDictionary()
        self._lane = LanePanels()

    def cut(self, selection: Selection, mint: int, maxt: int) -> list[Part] | None:
        """Return the samples of the selected series in the range, source by source.

        Of two parts with a sample for the same time the later one is right. None if some lie where they can only be told apart one by one.

        Raises:
            StorageError: If a block cannot be read.
        """
        # in the order in which samples move on, so that none is missed; see ``Querier``
        slab = self._head.slab.cut(selection, mint, maxt)
        lane = self._lane.of(self._head.lane.view())
        if slab is None:
            return None
        scrapes: list[Part] = []
        late: list[Part] = []
        try:
            sealed = self._sealed.of(self._sealed_table.sealed_table())
            for block in self._blocks.touching(mint, maxt):
                meta = block.meta
                deleted = self._deletions.of_block(meta.sequence, meta.mint, meta.maxt)
                try:
                    found: list[Part] = []
                    for table in block.tables(self._head.index, mint, maxt):
                        _extend(found, self._of(table), selection, mint, maxt)
                    if deleted and found:
                        found = without(found, [self._cutout(selection, one) for one in deleted])
                    (late if meta.late else scrapes).extend(found)
                except DamagedError:
                    return None  # frame by frame, what is damaged is left out and told
                except StorageError as error:
                    raise StorageError(f"block {block.path}: {error}") from error
            _extend(scrapes, sealed, selection, mint, maxt)
            _extend(late, lane, selection, mint, maxt)
        except NoPanelError:
            return None
        return [*scrapes, *slab, *late]

    def _cutout(self, selection: Selection, deletion: Deletion) -> Cutout:
        """Return which series of a selection a deletion names; their labels say so, so that it stays so."""
        gone = selection.deleted.get(deletion)
        if gone is None:
            gone = np.isin(selection.refs, deletion.refs(self._head.index))
            selection.deleted[deletion] = gone
        return Cutout(gone, deletion.mint, deletion.maxt)

    def _of(self, table: FrameTable) -> tuple[Panel, ...]:
        panels = self._of_table.get(table)
        if panels is None:
            panels = self._of_table.setdefault(table, TablePanels(self._cache))
        return panels.of(table)


def _extend(
    parts: list[Part], panels: Iterable[Panel], selection: Selection, mint: int, maxt: int
) -> None:
    for panel in panels:
        if panel.mint <= maxt and panel.maxt >= mint and panel.key not in selection.elsewhere:
            parts.extend(panel.cut(selection, mint, maxt))

"""Fewer and longer blocks: one merge at a time, a block that had something deleted from it after that."""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from typing import Final

from storage.failpoint import reach
from storage.tsdb.block import Block
from storage.tsdb.blocks import Blocks
from storage.tsdb.blockwriter import BlockWriter
from storage.tsdb.damage import DamagedError
from storage.tsdb.deletions import Deletions
from storage.tsdb.levels import next_merge
from storage.tsdb.rewrite import InterruptedRewrite, Rewrite
from storage.tsdb.settings import TsdbSettings

log = logging.getLogger(__name__)

_PAUSE_MS: Final = 10 * 60_000  # after a merge for which there was no room
_ROOM: Final = 1.2  # of what goes in must be free before a merge begins


class Merger:
    """Merges blocks; called by one thread.

    Args:
        blocks: What there is.
        deletions: What was deleted is left out of what is written.
        settings: Sizes and times.
        stopping: Asked now and then; a merge that is under way is given up then.
        failed: Called with ``merge`` whenever there was no room for one.
    """

    def __init__(
        self,
        blocks: Blocks,
        deletions: Deletions,
        settings: TsdbSettings,
        stopping: Callable[[], bool],
        failed: Callable[[str], None] = lambda operation: None,
    ) -> None:
        self._failed = failed
        self._blocks = blocks
        self._deletions = deletions
        self._settings = settings
        self._stopping = stopping
        self._not_before_ms = -(2**63)

    def run(self, now_ms: int) -> bool:
        """Do what is most due; False if nothing was, or there is no room for it.

        Raises:
            OSError: If the disk is full or broken; nothing is lost, and it is tried again later.
            StorageError: If a block cannot be read.
        """
        if 0 < self._not_before_ms - now_ms <= _PAUSE_MS:  # more: the clock went back
            return False
        block_ms = self._settings.block_ms
        until = (now_ms - self._settings.block_delay_ms) // block_ms * block_ms
        whole = [block for block in self._blocks.all if not block.damaged]
        merge = next_merge(whole, self._settings, until)
        inputs = merge.blocks if merge else self._to_clean()
        if not inputs or not self._has_room(inputs, now_ms):
            return False
        return self._merge(inputs, now_ms)

    def clean(self, now_ms: int) -> None:
        """Write every block anew from which something was deleted.

        Raises:
            OSError: If the disk is full or broken; housekeeping tries it again.
            StorageError: If a block cannot be read.
        """
        while inputs := self._to_clean():
            if not self._has_room(inputs, now_ms):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if not self._merge(inputs, now_ms):
                return

    def _to_clean(self) -> Sequence[Block]:
        for block in self._blocks.all:
            if self._blocks.can_clean(block) and self._blocks.concerned(block, self._deletions.all):
                return (block,)
        return ()

    def _has_room(self, inputs: Sequence[Block], now_ms: int) -> bool:
        size = sum(block.size_bytes for block in inputs)
        free = shutil.disk_usage(self._blocks.directory).free
        if free >= size * _ROOM:
            return True
        log.warning(
            "%s: no room to merge %d blocks of %d bytes: %d bytes are free",
            self._blocks.directory,
            len(inputs),
            size,
            free,
        )
        self._no_room(now_ms)
        return False

    def _no_room(self, now_ms: int) -> None:
        self._failed("merge")
        self._not_before_ms = now_ms + _PAUSE_MS

    def _merge(self, inputs: Sequence[Block], now_ms: int) -> bool:
        try:
            self._write(inputs)
        except InterruptedRewrite:
            return False
        except DamagedError as error:
            for block in inputs:
                block.damaged = True
            log.warning("blocks are left unmerged: %s", error)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._no_room(now_ms)
            raise
        return True

    def _write(self, inputs: Sequence[Block]) -> None:
        rewrite = Rewrite(inputs, self._deletions, self._stopping)
        if len(inputs) == 1 and not rewrite.touched.any():
            self._blocks.note_clean(inputs[0], self._deletions.all)
            return
        writer = BlockWriter(self._blocks.directory, self._blocks.next_sequence)
        try:
            rewrite.write(writer)
            if writer.empty:
                writer.abandon()
                self._blocks.drop_emptied(inputs)
                return
            metas = [block.meta for block in inputs]
            late = [m for m in metas if m.late]
            # without scrapes there is nothing to fold them into: beside a block of scrapes of the
            # same time, in which older ones were folded, they must go on winning
            stays_late = len(late) == len(metas)
            block = writer.finish(
                rewrite.index,
                taken_ms=max(m.taken_ms for m in metas),
                late=stays_late,
                head_until_ms=self._blocks.head_until_ms,
                late_from_segment=self._blocks.late_from_segment,
                late_until_ms=max(
                    *(m.late_until_ms for m in metas),
                    *(min(m.maxt, m.taken_ms) for m in late),
                    -(2**63),
                ),
                replaces=tuple(m.sequence for m in metas),
                order=metas[0].rank if stays_late else 0,
            )
        except BaseException:
            writer.abandon()
            raise
        reach("compact.merged")
        self._blocks.replace(inputs, block)
        log.info("%d blocks became block %s", len(inputs), block.path.name)

"""The failpoints of the series store; see ``storage.failpoint``."""

from typing import Final

PLACES: Final = (
    "wal.before_write",
    "wal.written",
    "wal.before_sync",
    "wal.synced",
    "wal.segment_written",
    "wal.segment_made",
    "wal.segment_dropped",
    "block.begun",
    "block.frames_written",
    "block.index_written",
    "block.meta_written",
    "block.named",
    "block.removing",
    "compact.window_added",
    "compact.late_written",
    "compact.merged",
    "delete.noted",
)

"""The failpoints of log shipping; see ``storage.failpoint``."""

from typing import Final

PLACES: Final = (
    "bulk.before_send",
    "bulk.answered",
    "bulk.looked_up",
    "bulk.twins_found",
    "buffer.put",
    "buffer.taken",
    "buffer.delivered",
    "buffer.released",
    "buffer.written",
    "buffer.synced",
    "buffer.segment_made",
    "buffer.segment_dropped",
    "checkpoint.before_append",
    "checkpoint.appended",
    "checkpoint.synced",
    "checkpoint.written",
    "checkpoint.aside",
    "checkpoint.placed",
    "rotation.seen",
    "rotation.scanned",
    "rotation.introduced",
    "rotation.copy_adopted",
    "rotation.truncated",
    "rotation.removed",
)

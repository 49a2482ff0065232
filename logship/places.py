"""The failpoints of log shipping; see ``storage.failpoint``."""

from typing import Final

PLACES: Final = (
    "bulk.before_send",
    "bulk.answered",
    "buffer.put",
    "buffer.taken",
    "buffer.delivered",
    "buffer.released",
    "checkpoint.before_write",
    "checkpoint.written",
    "checkpoint.aside",
    "checkpoint.placed",
    "rotation.seen",
    "rotation.scanned",
    "rotation.identified",
    "rotation.truncated",
    "rotation.removed",
)

"""Named places at which a test may let the process die; nothing happens at them otherwise.

A place costs one look at a module variable, and stands only where files change: a few times per
group or block, never per sample.
"""

from collections.abc import Callable
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

_hook: Callable[[str], None] | None = None


def arm(hook: Callable[[str], None] | None) -> None:
    """Call ``hook`` with the name of every place that is reached from now on; None ends it."""
    global _hook  # noqa: PLW0603  (one process, one hook: a place must not need an object)
    _hook = hook


def reach(place: str) -> None:
    """Say that a place is reached."""
    if _hook is not None:
        _hook(place)

"""Keep freed memory for the next batch.

Columns and request bodies are some hundred KiB each and are gone after a moment. The C library
would give them back to the kernel each time and fault every page in again with the next batch,
which was measured at 1 to 2 CPU-seconds per million lines.
"""

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # malloc.h of glibc
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
KEPT_BYTES: Final = 16 << 20


def keep_freed() -> bool:
    """Keep a few MiB for the whole process; False where the C library has no such setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    settings = ((_M_MMAP_THRESHOLD, KEPT_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_ARENA_MAX, 1))
    taken = [
        mallopt(name, value) for name, value in settings
    ]  # all of them, whatever the first says
    return all(taken)

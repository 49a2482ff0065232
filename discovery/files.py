"""Small files that must never be seen half written."""

import os
from pathlib import Path


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file as a whole, so that it survives a crash at any instant.

    Raises:
        OSError: If it cannot be written; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)

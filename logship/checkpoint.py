"""How far each sink has got in each source: one versioned file with a checksum.

Written whole to a temporary file, fsynced, renamed; the one before is kept as
``checkpoint.previous``. One that cannot be read is set aside (never deleted) and the one before
is used: positions that are too old cost duplicates, which document ids make harmless.
"""

import logging
import zlib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from storage.failpoint import reach
from storage.files import place

FORMAT: Final = 1
NAME: Final = "checkpoint"
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct):
    """One source: a file, or a container's stream through the runtime's API.

    Attributes:
        key: The stream it belongs to (container or run directory, and file name without ``.N``).
        source_id: Its identity in document ids.
        inode: 0 for sources that are no files.
        device: See inode.
        fingerprint: Of the first line.
        positions: By sink, where it goes on.
        seen_s: When it was last there, seconds since the epoch.
    """

    key: str
    source_id: str
    inode: int = 0
    device: int = 0
    fingerprint: str = ""
    positions: dict[str, int] = msgspec.field(default_factory=dict)
    seen_s: int = 0


class _File(msgspec.Struct):
    format: int
    entries: list[Entry]


class Loaded(Struct, frozen=True):
    """What was found at start; ``warnings`` are sentences for people."""

    entries: list[Entry]
    warnings: list[str]


class CheckpointFile:
    """Reads and writes the file; one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._previous = directory / f"{NAME}.previous"

    def load(self) -> Loaded:
        """Return the entries of the newest good file; never raises for what it holds."""
        warnings: list[str] = []
        for path in (self._path, self._previous):
            try:
                return Loaded(_decode(path.read_bytes()), warnings)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                aside = path.with_name(f"{path.name}.bad")
                try:
                    path.replace(aside)
                except OSError:
                    aside = path
                warnings.append(f"the log checkpoint {path} cannot be used ({error}); it is kept as {aside}, and the one before it is used")  # fmt: skip
                _log.warning(warnings[-1])
        return Loaded([], warnings)

    def save(self, entries: list[Entry]) -> None:
        """Write durably.

        Raises:
            OSError: If it cannot be written; the file before is there, under one of its two names.
        """
        body = msgspec.json.encode(_File(FORMAT, entries))
        data = b"taskscope-logship %d %08x\n" % (FORMAT, zlib.crc32(body)) + body

        def write(temporary: Path) -> None:
            temporary.touch(0o600)
            temporary.write_bytes(data)
            reach("checkpoint.written")
            if self._path.exists():
                self._path.replace(self._previous)
                reach("checkpoint.aside")

        reach("checkpoint.before_write")
        place(self._path, write)
        reach("checkpoint.placed")


def _decode(data: bytes) -> list[Entry]:
    head, _, body = data.partition(b"\n")
    words = head.split()
    if len(words) != 3 or words[0] != b"taskscope-logship":
        raise ValueError("it is not a checkpoint")
    if int(words[1]) != FORMAT:
        raise ValueError(f"its format is {int(words[1])}, this Taskscope knows {FORMAT}")
    if int(words[2], 16) != zlib.crc32(body):
        raise ValueError("its checksum is wrong")
    try:
        return msgspec.json.decode(body, type=_File).entries
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error

"""The manifest: which segments there are, and from which WAL file on the rest is.

One line of JSON and one line with its CRC-32 in hex. It is replaced as a whole; a segment that it
does not name does not exist, whatever lies in the directory.
"""

import zlib
from pathlib import Path
from typing import Any, Final

import orjson
import zstandard
from msgspec import Struct, to_builtins

from model.errors import StorageError
from storage.files import replace_file
from storage.logdb.segment import Segment
from storage.logdb.sources import Rows, Sources

FORMAT: Final = "taskscope-logdb"
VERSION: Final = 2  # since then segments have indices
_KNOWN: Final = (1, 2)
NAME: Final = "MANIFEST"


class DamagedError(StorageError):
    """The manifest cannot be read.

    Attributes:
        size: Bytes that it has.
    """

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class Manifest(Struct, frozen=True):
    """The state on disk.

    Attributes:
        segments: All of them.
        wal_first: Number of the first WAL file that is not in a segment.
        next_number: Number of the next file of any kind.
        next_seq: Number of the next batch, as far as the segments know.
        sources_file: Name of the file with ``Sources.dump`` as of ``wal_first``, "" for none.
        sources_crc: Its CRC-32.
    """

    segments: tuple[Segment, ...] = ()
    wal_first: int = 0
    next_number: int = 1
    next_seq: int = 1
    sources_file: str = ""
    sources_crc: int = 0


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest.

    Raises:
        OSError: If it could not be written; the old one stands then.
    """
    line = orjson.dumps({"format": FORMAT, "version": VERSION, **to_builtins(manifest)})
    text = line + f"\n{zlib.crc32(line):08x}\n".encode()
    replace_file(directory / NAME, text)


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest, None if there is none.

    Raises:
        DamagedError: If it is damaged.
        StorageError: If it is of a version this program does not know.
    """
    path = directory / NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    line, _, crc = text.partition(b"\n")
    try:
        if int(crc, 16) != zlib.crc32(line):
            raise ValueError("wrong checksum")
        data: dict[str, Any] = orjson.loads(line)
    except ValueError as error:
        raise DamagedError(f"{path} is damaged ({error})", len(text)) from error
    if data.pop("format", None) != FORMAT or data.pop("version", None) not in _KNOWN:
        raise StorageError(
            f"{path} has a format that this Taskscope does not know (it knows {FORMAT} version {VERSION}). "
            "Use the version that wrote it, or another data directory."
        )
    segments = tuple(Segment(**segment) for segment in data.pop("segments"))
    return Manifest(segments=segments, **data)


def write_sources(path: Path, rows: Rows) -> int:
    """Write what ``Sources.dump`` gave, and return the file's CRC-32.

    Raises:
        OSError: If it could not be written.
    """
    data = zstandard.ZstdCompressor(level=3).compress(orjson.dumps(rows))
    replace_file(path, data)
    return zlib.crc32(data)


def read_sources(path: Path, crc: int) -> Sources:
    """Return which offsets are stored.

    Raises:
        StorageError: If the file is gone or damaged.
    """
    sources = Sources()
    try:
        data = path.read_bytes()
        if zlib.crc32(data) != crc:
            raise ValueError("wrong checksum")
        sources.load(orjson.loads(zstandard.ZstdDecompressor().decompress(data)))
    except (OSError, ValueError, zstandard.ZstdError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    return sources

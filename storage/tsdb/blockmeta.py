"""What a block says of itself: ``meta.json``, with a checksum, and a copy inside the index."""

import json
import zlib
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from model.errors import StorageError
from storage.tsdb.damage import DamagedError

BLOCK_VERSION: Final = 1

_CRC: Final = "crc32"


class BlockMeta(Struct, frozen=True):
    """What ``meta.json`` says.

    Attributes:
        version: Format of the block.
        sequence: Blocks are numbered in the order they were written.
        mint: Time of the first sample.
        maxt: Time of the last one.
        taken_ms: When the block was written: none of its samples was taken in later.
        late: True if its samples came with their own timestamps.
        head_until_ms: All scrapes before this time are in this block or earlier ones.
        late_from_segment: All late samples in WAL segments before this one are in this block or
            earlier ones.
        series: Number of series.
        samples: Number of samples, gaps included.
        late_until_ms: Newest time of late samples that were folded into a block of scrapes; those
            that came from the future do not count.
        replaces: Numbers of the blocks that this one was made of; where both are, those go.
        order: Number of the block of late samples that this one was made of, 0 for none: later
            appends win, whenever they were written again.
    """

    version: int
    sequence: int
    mint: int
    maxt: int
    taken_ms: int
    late: bool
    head_until_ms: int
    late_from_segment: int
    series: int
    samples: int
    late_until_ms: int = -(2**63)
    replaces: tuple[int, ...] = ()
    order: int = 0

    @property
    def late_ahead(self) -> bool:
        """True if it may have late samples that came from the future."""
        return self.late and self.maxt > self.taken_ms

    @property
    def rank(self) -> int:
        """Where the block stands among others: of late samples those of the highest rank win."""
        return self.order or self.sequence


def encode_meta(meta: BlockMeta) -> str:
    """Return the text of ``meta.json``."""
    found = asdict(meta)
    return json.dumps({**found, _CRC: _checksum(found)}, indent=1)


def decode_meta(text: bytes | str, place: str) -> BlockMeta:
    """Undo ``encode_meta``; blocks of before there was a checksum have none.

    Args:
        text: What was read.
        place: Where it was read, for messages.

    Raises:
        DamagedError: If it is not what was written.
        StorageError: If it is of an unknown version.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        crc = found.pop(_CRC, None)
        if crc is not None and crc != _checksum(found):
            raise DamagedError(f"{place}: damaged: the checksum is wrong")
        if found["version"] != BLOCK_VERSION:
            raise StorageError(
                f"{place}: block version {found['version']} is unknown here "
                f"(this Taskscope reads {BLOCK_VERSION}); use the version that wrote it"
            )
        found["replaces"] = tuple(found.get("replaces", ()))
        if unknown := found.keys() - set(BlockMeta.__struct_fields__):
            raise DamagedError(f"{place}: damaged: {', '.join(sorted(unknown))} is not known")
        return BlockMeta(**found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(f"{place}: damaged: {error}") from error


def read_meta(path: Path) -> BlockMeta:
    """Read ``meta.json``.

    Raises:
        DamagedError: If it is not there or not what was written.
        StorageError: If it cannot be read or is of an unknown version.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: is not there") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return decode_meta(text, str(path))


def _checksum(found: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(found, sort_keys=True).encode())

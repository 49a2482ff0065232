"""The file beside a segment, ``<number>.index``: what a search has to know before it reads the segment.

Magic ``TSLOGIDX``, uint32 version, uint32 length and uint32 CRC-32 of a JSON header; then a copy of the
segment's Parquet footer (so that a segment whose end is gone can be read as far as it goes), then the
token filters. A filter is cut into blocks, each with its CRC-32 behind it, so that a search reads and
checks only the few it needs. Nothing in this file is needed to read a whole segment: where it is
damaged, a search reads more. It also says what the manifest says, in case that is damaged.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from storage.files import replace_file
from storage.logdb import tokens
from storage.logdb.segment import Commit, Group, Segment

MAGIC: Final = b"TSLOGIDX"
VERSION: Final = 1
_HEAD: Final = struct.Struct("<8sIII")


class Header(Struct, frozen=True):
    """The JSON header.

    Attributes:
        segment: What the manifest says of the segment.
        replaces: Names of the segments that this one was merged from.
        commit: What else the manifest said when the segment was made.
        footer_bytes: Size of the copy of the Parquet footer.
        footer_crc: CRC-32 of it; Parquet itself has none.
        groups: The row groups in order.
    """

    segment: Segment
    replaces: tuple[str, ...]
    commit: Commit | None
    footer_bytes: int
    footer_crc: int
    groups: tuple[Group, ...]


class DamagedIndexError(ValueError):
    """The file is none, or what it begins with is damaged."""


def write_index(
    path: Path,
    segment: Segment,
    footer: bytes,
    groups: Sequence[tuple[Group, bytes]],
    *,
    replaces: Sequence[str] = (),
    commit: Commit | None = None,
) -> int:
    """Write the file, on disk for good when this returns; returns its size.

    Raises:
        OSError: If it could not be written; nothing is left of it then.
    """
    header = Header(
        segment=segment,
        replaces=tuple(replaces),
        commit=commit,
        footer_bytes=len(footer),
        footer_crc=zlib.crc32(footer),
        groups=tuple(group for group, _ in groups),
    )
    text = msgspec.json.encode(header)
    parts = [_HEAD.pack(MAGIC, VERSION, len(text), zlib.crc32(text)), text, footer]
    parts += [filter_ for _, filter_ in groups]
    data = b"".join(parts)
    replace_file(path, data)
    return len(data)


def read_header(path: Path) -> tuple[Header, bytes, int]:
    """Return the header, the copy of the footer (empty if that is damaged), and where the filters begin.

    Raises:
        OSError: If the file cannot be read.
        DamagedIndexError: If it is damaged.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise DamagedIndexError("it ends within its head")
        magic, version, length, crc = _HEAD.unpack(head)
        if magic != MAGIC or version != VERSION:
            raise DamagedIndexError("it is no index of a version known here")
        if length > os.fstat(file.fileno()).st_size:
            raise DamagedIndexError("it ends within its header")
        text = file.read(length)
        if len(text) < length or zlib.crc32(text) != crc:
            raise DamagedIndexError("its header has a wrong checksum")
        header = msgspec.json.decode(text, type=Header)
        footer = file.read(header.footer_bytes)
        if zlib.crc32(footer) != header.footer_crc:
            footer = b""
        return header, footer, _HEAD.size + length + header.footer_bytes


class Filters:
    """The token filters of one segment, mapped into memory."""

    def __init__(self, path: Path, first: int, groups: Sequence[Group]) -> None:
        """Map the file.

        Raises:
            OSError, ValueError: If that cannot be.
        """
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._map.madvise(mmap.MADV_RANDOM)
        self._sizes = [group.filter_bytes for group in groups]
        self._starts = (first + np.cumsum([0, *self._sizes])).tolist()

    def expect(self, groups: Sequence[int], hashes: tokens.Hashes) -> None:
        """Have the disk bring what ``may_have`` will look at, all at once."""
        for group in groups:
            for start, _ in self._blocks(group, hashes):
                first = start - start % mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, first, start + tokens.STRIDE - first)

    def may_have(self, group: int, hashes: tokens.Hashes) -> bool:
        """Tell whether a row group can have all tokens of these hashes; True where that cannot be known."""
        for start, bits in self._blocks(group, hashes):
            block = self._map[start : start + tokens.STRIDE]
            data, crc = block[: tokens.BLOCK_BYTES], block[tokens.BLOCK_BYTES :]
            if len(crc) < 4 or zlib.crc32(data) != int.from_bytes(crc, "little"):
                continue
            if not all(data[bit >> 3] >> (bit & 7) & 1 for bit in bits):
                return False
        return True

    def _blocks(self, group: int, hashes: tokens.Hashes) -> Iterator[tuple[int, list[int]]]:
        """Yield where the block of each hash begins, and its bits there."""
        blocks = self._sizes[group] // tokens.STRIDE
        for value in hashes.tolist() if blocks else ():
            block, bits = tokens.place(value, blocks)
            start = self._starts[group] + block * tokens.STRIDE
            if start + tokens.STRIDE <= len(self._map):
                yield start, bits

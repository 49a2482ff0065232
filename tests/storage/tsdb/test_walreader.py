"""A segment read by parts: the same as read at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import StorageError
from storage.tsdb import records, walreader
from storage.tsdb.records import Damage, Kind

BODIES = [bytes(range(size)) for size in (0, 3, 200, 1, 90, 90, 0, 17)]
WHOLE = records.SEGMENT_HEAD + b"".join(records.frame(Kind.METADATA, body) for body in BODIES)


def flipped(at: int) -> bytes:
    """Return the segment with one wrong byte."""
    return WHOLE[:at] + bytes([WHOLE[at] ^ 0x41]) + WHOLE[at + 1 :]


def plain(found: Iterator[tuple[Kind, memoryview] | Damage]) -> list[tuple[Kind, bytes] | Damage]:
    """Copy what is yielded."""
    return [one if isinstance(one, Damage) else (one[0], bytes(one[1])) for one in found]


@pytest.mark.parametrize("at_once", [7, 40, 150, 1 << 20])
def test_reading_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Cut and flipped at every byte: the same records, the same damage at the same place."""
    monkeypatch.setattr(walreader, "_AT_ONCE", at_once)
    path = tmp_path / "1.wal"
    harmed = [WHOLE[:size] for size in range(len(WHOLE) + 1)]
    harmed += [WHOLE + bytes(30), b"", *map(flipped, range(len(WHOLE)))]
    for data in harmed:
        path.write_bytes(data)
        assert plain(walreader.read_segment(path)) == plain(records.read(data))


def test_an_unknown_version(tmp_path: Path) -> None:
    """It is refused as it is when read at once."""
    path = tmp_path / "1.wal"
    path.write_bytes(b"TSCPWAL\x63" + bytes(range(100)))

    with pytest.raises(StorageError, match="version 99"):
        list(walreader.read_segment(path))

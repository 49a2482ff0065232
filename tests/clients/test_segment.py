"""A file of the client's spool: what is whole is found, whatever else was done to it."""

import os
from pathlib import Path

import pytest

from taskscope_logging._outlets import Chunk
from taskscope_logging._segment import DamagedError, Segment
from taskscope_logging._spool import TAKEN_MAX, Spool, SpoolFullError

CHUNKS = [Chunk(f"id-{n}", n + 1, bytes([n]) * (10 + n)) for n in range(4)]


def written(path: Path) -> list[int]:
    """Write a file of all chunks as a process that has died since; return where each begins, and the end."""
    segment = Segment.create(path)
    begins = [segment.size]
    for chunk in CHUNKS:
        segment.append(chunk)
        begins.append(segment.size)
    segment.close()
    return begins


def left(path: Path) -> tuple[list[Chunk], int]:
    """Take a file over, acknowledge what is in it; return that, and how much of it was damaged."""
    segment = Segment.take_over(path)
    assert segment is not None
    found, damaged = [], 0
    while not segment.drained:
        try:
            chunk = segment.head()
        except DamagedError:
            damaged += 1
            continue
        assert chunk is not None
        found.append(chunk)
        segment.acknowledge()
    segment.close()
    return found, damaged


def test_torn_anywhere_it_has_what_was_whole(tmp_path: Path) -> None:
    """Each length a file may have when its process dies while it writes."""
    path = tmp_path / "0.tslog"
    *begins, end = written(path)
    whole = path.read_bytes()
    for length in range(end + 1):
        path.write_bytes(whole[:length])
        count = sum(begin <= length for begin in [*begins, end][1:])
        torn = length > begins[0] and length not in [*begins, end]
        assert left(path) == (CHUNKS[:count], int(torn)), length


def test_a_flipped_byte_costs_no_more_than_it_hit(tmp_path: Path) -> None:
    """One chunk, where it is in the chunk; all that follow, where it is in a length; none that came before."""
    path = tmp_path / "0.tslog"
    *begins, end = written(path)
    whole = path.read_bytes()
    for position in range(begins[0], end):
        hit = sum(begin <= position for begin in begins) - 1
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        found, damaged = left(path)
        assert found[:hit] == CHUNKS[:hit]
        assert CHUNKS[hit] not in found
        assert all(chunk in CHUNKS for chunk in found)
        assert damaged > 0
        if position >= begins[hit] + 4:
            assert found == CHUNKS[:hit] + CHUNKS[hit + 1 :]


def test_what_was_acknowledged_does_not_come_again(tmp_path: Path) -> None:
    """Each next owner goes on where the one before it has died."""
    path = tmp_path / "0.tslog"
    written(path)
    for chunk in CHUNKS:
        segment = Segment.take_over(path)
        assert segment is not None
        assert segment.head() == chunk == segment.head()
        segment.acknowledge()
        segment.close()
    assert left(path) == ([], 0)


def test_what_was_written_while_it_was_on_its_way_is_acknowledged_unread(tmp_path: Path) -> None:
    """A chunk that is delivered in the moment in which it comes to the file is not sent again."""
    path = tmp_path / "0.tslog"
    segment = Segment.create(path)
    for chunk in CHUNKS:
        segment.append(chunk)
        segment.acknowledge()
        assert segment.drained
    segment.close()
    assert left(path) == ([], 0)


def test_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Half of it was written: the file is as long as before, and what is written next is found."""
    path, real = tmp_path / "0.tslog", os.pwrite
    segment = Segment.create(path)
    segment.append(CHUNKS[0])
    size = path.stat().st_size

    def half(descriptor: int, data: bytes, offset: int) -> int:
        real(descriptor, bytes(data)[: len(data) // 2], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", half)
    with pytest.raises(OSError, match="No space"):
        segment.append(CHUNKS[3])
    monkeypatch.setattr("os.pwrite", real)
    assert path.stat().st_size == size
    segment.append(CHUNKS[1])
    segment.close()
    assert left(path) == (CHUNKS[:2], 0)


def test_only_files_of_the_dead_are_taken(tmp_path: Path) -> None:
    """Not one that is owned, or a link, a FIFO, or something else; not more than a few at a time."""
    for number in range(TAKEN_MAX + 3):
        written(tmp_path / f"{number:03}.tslog")
    owned = Segment.create(tmp_path / "owned.tslog")
    (tmp_path / "link.tslog").symlink_to(tmp_path / "000.tslog")
    (tmp_path / "other.tslog").write_bytes(b"something else than it should be")
    (tmp_path / "unfinished.tslog").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo.tslog")
    spool = Spool(tmp_path, 1 << 20)
    found: list[Chunk] = []
    refused = 0
    for _ in range(10):
        try:
            spool.take_over()
        except OSError:
            refused += 1
        while (head := spool.head()) is not None:
            found.append(head[0])
            spool.acknowledge(head[1])
    spool.close()
    owned.close()

    assert found == CHUNKS * (TAKEN_MAX + 3)
    assert refused == 1  # what is none of ours is looked at once
    assert {path.name for path in tmp_path.iterdir()} == {"link.tslog", "other.tslog", "fifo.tslog", "owned.tslog"}  # fmt: skip


def test_spool_gives_room_back_before_it_is_empty(tmp_path: Path) -> None:
    """It is written in parts, each deleted when all of it is acknowledged."""
    spool = Spool(tmp_path, 100_000)
    chunk = Chunk("id", 1, b"x" * 5000)
    for _ in range(18):
        spool.append(chunk)
    with pytest.raises(SpoolFullError):
        [spool.append(chunk) for _ in range(3)]
    for number in range(200):
        head = spool.head()
        assert head is not None, number
        spool.acknowledge(head[1])
        if number > 5:
            spool.append(chunk)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 101_000
    spool.close()

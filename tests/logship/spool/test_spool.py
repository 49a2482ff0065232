"""The buffer on disk: what was synced comes back after a crash, whatever the files have met."""

import errno
import os
import threading
from pathlib import Path

import pytest

from logship.spool.segment import HEADER_BYTES
from logship.spool.spool import Spool
from model.errors import StorageError

MIB = 1 << 20


def opened(directory: Path, *, disk_bytes: int = MIB, segment_bytes: int = 500) -> Spool:
    """Return a spool of small segments."""
    return Spool(directory / "spool", disk_bytes=disk_bytes, segment_bytes=segment_bytes)


def put(spool: Spool, *payloads: bytes) -> None:
    """Append durably."""
    for payload in payloads:
        spool.sync(spool.append(payload))


def held(spool: Spool, position: int = 0, size: int = 200) -> tuple[list[bytes], int]:
    """Return all payloads from a position on, and how often something was damaged."""
    payloads: list[bytes] = []
    damaged = 0
    while position < spool.durable:
        found = spool.read(position, size)
        assert found.end > position
        position = found.end
        damaged += found.damaged
        payloads += [record.payload for record in found.records]
    return payloads, damaged


def some(count: int) -> list[bytes]:
    """Return payloads of different sizes."""
    return [b"%d " % n * (1 + 7 * n % 40) for n in range(count)]


def test_records_come_back_in_order_over_segments_and_restarts(tmp_path: Path) -> None:
    """Each process goes on behind the last one."""
    first = opened(tmp_path)
    put(first, *some(30))
    first.close()
    second = opened(tmp_path)
    put(second, b"more")

    assert len(list((tmp_path / "spool").iterdir())) > 5
    assert held(second) == ([*some(30), b"more"], 0)
    assert second.birth == first.birth


def test_only_what_is_synced_is_read(tmp_path: Path) -> None:
    """Else a sink could be ahead of the disk, and what comes there next would be passed over."""
    spool = opened(tmp_path)
    put(spool, b"one")
    end = spool.append(b"two")

    assert held(spool)[0] == [b"one"]

    spool.sync(end)
    assert held(spool)[0] == [b"one", b"two"]


def test_delivered_segments_go_but_for_the_newest(tmp_path: Path) -> None:
    """The space is there again; who sends something twice is still known."""
    spool = opened(tmp_path)
    put(spool, *some(60))
    before = spool.used_bytes

    spool.release(spool.durable)

    assert len(list((tmp_path / "spool").iterdir())) == 3
    assert spool.used_bytes < before / 4
    assert held(spool, spool.start)[0] == some(60)[-len(held(spool, spool.start)[0]) :]


def test_cap_refuses_and_says_so_until_there_is_room(tmp_path: Path) -> None:
    """Never more than ``disk_bytes``; what was taken stays."""
    spool = opened(tmp_path, disk_bytes=4000)
    with pytest.raises(StorageError, match=r"is full \(4000 bytes, logship\.buffer\.disk_bytes\)"):
        put(spool, *[b"x" * 100] * 1000)
    size = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())

    assert 3000 < size <= 4000
    assert spool.problem
    assert len(held(spool)[0]) * 124 > 2800

    spool.release(spool.durable)
    put(spool, b"again")

    assert spool.problem == ""
    assert held(spool, spool.start)[0][-1] == b"again"


def test_full_disk_refuses_takes_back_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Half a record does not stay in the file; with room again it goes on."""
    spool = opened(tmp_path)
    put(spool, b"before")
    write = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:20])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StorageError, match="cannot be written: No space left on device"):
        spool.append(b"y" * 50)
    monkeypatch.undo()
    put(spool, b"after")

    assert held(spool) == ([b"before", b"after"], 0)
    assert spool.problem == ""


def test_directory_that_cannot_be_made_is_a_problem_not_the_end(tmp_path: Path) -> None:
    """Start never fails; as soon as it can be made, records are taken."""
    (tmp_path / "spool").write_text("in the way")
    spool = opened(tmp_path)
    with pytest.raises(StorageError):
        spool.append(b"one")
    assert spool.problem

    (tmp_path / "spool").unlink()
    put(spool, b"one")

    assert held(spool) == ([b"one"], 0)


def test_failed_sync_is_nobodys_safety(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later sync that works does not make safe what one before could not; it is appended again."""
    spool = opened(tmp_path)
    put(spool, b"safe")
    end = spool.append(b"lost")

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        spool.sync(end)
    monkeypatch.undo()
    put(spool, b"again")

    with pytest.raises(StorageError):
        spool.sync(end)
    assert held(spool) == ([b"safe", b"again"], 0)
    assert held(opened(tmp_path))[0] == [b"safe", b"again"]


@pytest.mark.parametrize("part", range(8))
def test_any_damage_costs_only_what_was_hit(tmp_path: Path, part: int) -> None:
    """Each byte of a segment changed, and each length cut, in turn: the rest is delivered, and it starts."""
    payloads = [b"record %d" % n for n in range(9)]
    put(opened(tmp_path, segment_bytes=150), *payloads)
    path = sorted((tmp_path / "spool").iterdir())[1]
    whole = path.read_bytes()
    ends = {p: whole.index(p) + len(p) for p in payloads if p in whole}
    assert len(ends) == 3
    for byte in range(part, len(whole), 8):
        after = [p for p, end in ends.items() if end > byte]
        hit = after[:1] if byte >= HEADER_BYTES else []
        changed = whole[:byte] + bytes([whole[byte] ^ 0xFF]) + whole[byte + 1 :]
        for data, missing in ((whole[:byte], after), (changed, hit)):
            path.write_bytes(data)
            spool = opened(tmp_path)
            put(spool, b"new")
            got, damaged = held(spool)
            spool.close()
            max((tmp_path / "spool").iterdir()).unlink()
            assert got == [*(p for p in payloads if p not in missing), b"new"]
            assert damaged <= 1
            assert damaged or not missing or len(data) <= HEADER_BYTES or len(data) in ends.values()


@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"TSSPOOL1", os.urandom(5000)])
def test_segments_of_rubbish_do_not_keep_it_from_starting(tmp_path: Path, data: bytes) -> None:
    """Nor names that are none of ours."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{0:020d}.spool").write_bytes(data)
    (tmp_path / "spool" / "x.spool").write_bytes(data)
    (tmp_path / "spool" / f"{9999:020d}.spool").mkdir()
    spool = opened(tmp_path)

    put(spool, b"one")

    assert held(spool)[0] == [b"one"]
    assert list(spool.recent()) == [b"one"]


def test_threads_share_the_wait(tmp_path: Path) -> None:
    """Many append and sync at once, over many segments: nothing is lost or mixed."""
    spool = opened(tmp_path, segment_bytes=3000)

    def work(name: int) -> None:
        for n in range(100):
            put(spool, b"%d/%d" % (name, n))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got, damaged = held(spool)

    assert damaged == 0
    assert sorted(got) == sorted(b"%d/%d" % (name, n) for name in range(4) for n in range(100))
    for name in range(4):
        own = [p for p in got if p.startswith(b"%d/" % name)]
        assert own == sorted(own, key=lambda p: int(p.split(b"/")[1]))

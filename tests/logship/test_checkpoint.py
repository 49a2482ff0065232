"""The checkpoint survives what can happen to a file, and to the power."""

import errno
import os
import zlib
from pathlib import Path

import msgspec
import pytest

from logship import checkpoint
from logship.checkpoint import CheckpointFile, Entry
from tests.fakes.crashing_files import CrashingFiles

OLD = [Entry("key", "id", 1, 2, "mark", {"a": 10}, 5)]
NEW = [Entry("key", "id", 1, 2, "mark", {"a": 20}, 6)]


def entries(count: int, position: int) -> list[Entry]:
    """Return entries of as many sources, all at a place."""
    return [Entry(f"key-{n}", f"id-{n}", n, 2, "f" * 24, {"a": position}, 5, mark="m") for n in range(count)]  # fmt: skip


def positions(directory: Path) -> dict[str, int]:
    """Return what a start would find."""
    return {e.source_id: e.positions["a"] for e in CheckpointFile(directory).load().entries}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """Nothing at first; then what was written whole, what changed after it, less what is gone."""
    file = CheckpointFile(tmp_path)
    empty = file.load()
    file.save([], [], lambda: entries(3, 10))
    file.save(entries(1, 20), [], list)
    file.save([], ["id-2"], list)
    file.close()

    assert empty.entries == [] == empty.warnings
    assert positions(tmp_path) == {"id-0": 20, "id-1": 10}
    assert CheckpointFile(tmp_path).load().warnings == []


def test_a_file_that_has_grown_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was appended does not pile up."""
    monkeypatch.setattr(checkpoint, "SLACK_BYTES", 1000)
    file = CheckpointFile(tmp_path)
    sizes = []
    for place in range(100):
        file.save(entries(3, place), [], lambda place=place: entries(3, place))  # type: ignore[misc]  # a default that binds
        sizes.append((tmp_path / "checkpoint").stat().st_size)
    file.close()

    assert max(sizes) < 3000
    assert set(positions(tmp_path).values()) == {99}


def test_version_1_is_read(tmp_path: Path) -> None:
    """The checkpoint of a Taskscope before this one is taken over with all that it says."""
    body = msgspec.json.encode({"format": 1, "entries": [{"key": "k", "source_id": "k:1:f", "inode": 1, "device": 2, "fingerprint": "f", "positions": {"a": 7}, "seen_s": 3}]})  # fmt: skip
    (tmp_path / "checkpoint").write_bytes(b"taskscope-logship 1 %08x\n" % zlib.crc32(body) + body)

    loaded = CheckpointFile(tmp_path).load()

    assert loaded.warnings == []
    assert loaded.entries == [Entry("k", "k:1:f", 1, 2, "f", {"a": 7}, 3)]


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose checkpoint has three sources written whole and one that moved, and one before it."""
    # what is set aside is not synced here: hundreds of times that is all the time there is
    monkeypatch.setattr(checkpoint, "replace_file", lambda path, data, mode: path.write_bytes(data))
    file = CheckpointFile(tmp_path)
    file.save([], [], lambda: entries(3, 10))
    file.rewrite(entries(3, 20))
    file.save(entries(1, 30), [], list)
    file.close()
    return tmp_path


WHOLE = {"id-0": 30, "id-1": 20, "id-2": 20}


def test_a_flipped_bit_costs_one_record(damaged: Path) -> None:
    """Whichever byte is wrong: it starts, says so, and one source at most is at an older place."""
    path = damaged / "checkpoint"
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :])
        loaded = CheckpointFile(damaged).load()
        found = {e.source_id: e.positions["a"] for e in loaded.entries}
        wrong = {name for name, place in WHOLE.items() if found.get(name) != place}

        assert len(wrong) <= 1, at
        assert all(found[name] in (10, 20) for name in wrong), at
        assert not wrong or loaded.warnings, at


def test_a_cut_costs_what_is_behind_it(damaged: Path) -> None:
    """Wherever the file ends: it starts, older places stand in; a cut within what was written whole is said."""
    path = damaged / "checkpoint"
    data = path.read_bytes()
    whole = data.index(b"\n\n") + 1
    for end in range(len(data)):
        path.write_bytes(data[:end])
        loaded = CheckpointFile(damaged).load()
        found = {e.source_id: e.positions["a"] for e in loaded.entries}

        assert found.keys() == WHOLE.keys(), end
        assert all(10 <= place <= WHOLE[name] for name, place in found.items()), end
        if end < whole - 1:
            assert loaded.warnings, end
            assert (damaged / "checkpoint.bad").read_bytes() == data[:end]
        else:
            assert found["id-1"] == found["id-2"] == 20, end


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"\n\n\n", b"ffffff 00000000 {}", os.urandom(3000), b"taskscope-logship 1 00000000\n{}"]
)  # fmt: skip
def test_a_file_that_is_no_checkpoint(damaged: Path, content: bytes) -> None:
    """Whatever lies in its place, the one before it is used, and that is said."""
    (damaged / "checkpoint").write_bytes(content)

    loaded = CheckpointFile(damaged).load()

    assert {e.source_id: e.positions["a"] for e in loaded.entries} == dict.fromkeys(WHOLE, 10)
    assert "it is kept as" in loaded.warnings[0]


def test_unknown_format_is_said(tmp_path: Path) -> None:
    """A file of a later Taskscope is not guessed at."""
    (tmp_path / "checkpoint").write_bytes(b"taskscope-logship 99 1\n{}")

    loaded = CheckpointFile(tmp_path).load()

    assert loaded.entries == []
    assert "format is 99" in loaded.warnings[0]


def test_power_loss_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the power goes, no source is behind what a save that returned has said, and none is invented."""
    monkeypatch.setattr(checkpoint, "SLACK_BYTES", 700)  # so that it is written anew some times
    (tmp_path / "disk").mkdir()
    file = CheckpointFile(tmp_path / "disk")
    with CrashingFiles(tmp_path / "disk") as disk:
        disk.promised = 0
        for place in range(1, 12):
            file.save(entries(2, place), [], lambda place=place: entries(2, place))  # type: ignore[misc]  # a default that binds
            disk.promised = place
        file.close()

    assert len(disk.states) > 50
    for number, state in enumerate(disk.states):
        found = positions(state.lay_out(tmp_path / str(number)))

        assert not disk.promised or set(found) <= {"id-0", "id-1"}
        for source in ("id-0", "id-1"):
            place = found.get(source, 0)
            assert state.promised <= place <= state.promised + 1, (state.step, state.files)


def test_after_a_full_disk_the_file_is_written_anew(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that failed by half leaves nothing that spoils the next."""
    file = CheckpointFile(damaged)
    file.save([], [], lambda: entries(3, 40))
    real = os.write

    def full(fd: int, data: bytes) -> int:
        real(fd, data[:30])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        with pytest.raises(OSError, match="No space"):
            file.save(entries(1, 50), [], lambda: entries(3, 50))
    during = positions(damaged)
    file.save(entries(1, 60), [], lambda: entries(3, 60))
    file.close()

    assert set(during.values()) == {40}
    assert set(positions(damaged).values()) == {60}
    assert CheckpointFile(damaged).load().warnings == []

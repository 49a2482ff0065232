"""The checkpoint survives what can happen to a file."""

from pathlib import Path

import pytest

from logship.checkpoint import CheckpointFile, Entry
from logship.source.files import LogFile, make_source_id
from logship.source.known import KnownFiles

OLD = [Entry("key", "id", 1, 2, "mark", {"a": 10}, 5)]
NEW = [Entry("key", "id", 1, 2, "mark", {"a": 20}, 6)]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """Nothing at first, then the last state."""
    file = CheckpointFile(tmp_path)
    empty = file.load()
    file.save(OLD)
    file.save(NEW)

    assert empty.entries == [] == empty.warnings
    assert file.load().entries == NEW


@pytest.mark.parametrize("cut", range(0, 150, 7))
def test_damaged_file_gives_the_one_before(tmp_path: Path, cut: int) -> None:
    """Cut or changed anywhere, it is set aside with a warning, and the one before it is used."""
    file = CheckpointFile(tmp_path)
    file.save(OLD)
    file.save(NEW)
    path = tmp_path / "checkpoint"
    data = path.read_bytes()
    path.write_bytes(data[:cut] if cut % 2 else data[:cut] + bytes([data[cut] ^ 1]) + data[cut + 1 :])  # fmt: skip

    loaded = file.load()

    assert loaded.entries == OLD
    assert len(loaded.warnings) == 1
    assert (tmp_path / "checkpoint.bad").exists()


def test_unknown_format_is_said(tmp_path: Path) -> None:
    """A file of a later Taskscope is not guessed at."""
    (tmp_path / "checkpoint").write_bytes(b"taskscope-logship 99 00000000\n{}")

    loaded = CheckpointFile(tmp_path).load()

    assert loaded.entries == []
    assert "format is 99" in loaded.warnings[0]


def log_file(path: Path, text: str) -> LogFile:
    """Write and open a file."""
    path.write_text(text)
    file = LogFile.open(path)
    file.look(0.0)
    file.fingerprint = file.first_line(final=False)
    return file


def test_file_is_found_again_under_another_name(tmp_path: Path) -> None:
    """Identity is inode and first line."""
    file = log_file(tmp_path / "a", "first\nsecond\n")
    known = KnownFiles([])
    known.identify("key", file, make_source_id)
    file.acked["sink"] = 6
    entries = known.entries(1, 100)
    file.close()
    (tmp_path / "a").rename(tmp_path / "a.1")
    again = LogFile.open(tmp_path / "a.1")
    again.look(0.0)
    again.fingerprint = again.first_line(final=False)

    KnownFiles(entries).identify("key", again, make_source_id)

    again.close()
    assert again.source_id == file.source_id
    assert again.positions == {"sink": 6}


def test_shorter_file_of_the_same_look_is_another(tmp_path: Path) -> None:
    """Same inode and first line but less than was delivered: a new id, and the checkpoint is urgent."""
    file = log_file(tmp_path / "a", "first\n")
    entry = Entry("key", make_source_id("key", file.inode, file.fingerprint, 0), file.inode, file.device, file.fingerprint, {"sink": 999}, 1)  # fmt: skip
    known = KnownFiles([entry])

    known.identify("key", file, make_source_id)

    file.close()
    assert file.source_id != entry.source_id
    assert file.positions == {}
    assert known.urgent


def test_no_first_line_no_identity(tmp_path: Path) -> None:
    """A file waits until its first line is whole, or nothing more comes."""
    (tmp_path / "a").write_text("half")
    file = LogFile.open(tmp_path / "a")

    waiting, final = file.first_line(final=False), file.first_line(final=True)

    file.close()
    assert waiting == ""
    assert final


def test_old_positions_are_forgotten(tmp_path: Path) -> None:
    """Entries of files that have not been seen for long are dropped."""
    known = KnownFiles([Entry("old", "1", seen_s=0), Entry("new", "2", seen_s=90)])

    assert [entry.key for entry in known.entries(100, 50)] == ["new"]

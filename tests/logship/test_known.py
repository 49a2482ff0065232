"""Which file is the one that the checkpoint speaks of."""

import os
from pathlib import Path

import pytest

from logship.checkpoint import Entry
from logship.source.files import LogFile, make_source_id
from logship.source.known import ENDED_MAX, KnownFiles
from logship.source.names import base_of, rotated


def log_file(path: Path, text: str) -> LogFile:
    """Write and open a file."""
    path.write_text(text)
    return opened(path)


def opened(path: Path) -> LogFile:
    """Open a file as a reader does."""
    file = LogFile.open(path)
    file.first_look(0.0, 0)
    file.fingerprint = file.first_line(final=False)
    return file


def read_up_to(file: LogFile, place: int) -> list[Entry]:
    """Return the checkpoint after a sink has a file up to a place."""
    known = KnownFiles([])
    known.identify("key", file, make_source_id)
    file.remember(place, file.read(0, place))
    file.acked["sink"] = place
    return known.entries(1, 100)


def test_file_is_found_again_under_another_name(tmp_path: Path) -> None:
    """Identity is inode and content."""
    file = log_file(tmp_path / "a", "first\nsecond\n")
    entries = read_up_to(file, 6)
    file.close()
    (tmp_path / "a").rename(tmp_path / "a.1")
    again = opened(tmp_path / "a.1")

    KnownFiles(entries).identify("key", again, make_source_id)

    again.close()
    assert again.source_id == file.source_id
    assert again.positions == {"sink": 6}


@pytest.mark.parametrize(
    "text",
    [
        "banner\n",  # shorter
        "banner\nsomething else that is as long\n",
        "banner\n" + "longer than before\n" * 10,
        "other\n" + "x" * 100 + "\n",
    ],
)
def test_truncated_while_nobody_looked(tmp_path: Path, text: str) -> None:
    """Same inode, same first line, but not what was read: another source, with ids of its own."""
    file = log_file(tmp_path / "a", "banner\nwhat was there before\n")
    entries = read_up_to(file, file.size)
    file.close()
    with (tmp_path / "a").open("r+") as live:
        live.truncate(0)
        live.write(text)
    again = opened(tmp_path / "a")
    known = KnownFiles(entries)

    known.identify("key", again, make_source_id)

    again.close()
    assert again.inode == file.inode
    assert again.source_id != file.source_id
    assert again.positions == {}
    assert known.urgent


def test_each_generation_has_ids_of_its_own(tmp_path: Path) -> None:
    """However often a file is truncated between restarts, no id comes twice."""
    path, ids = tmp_path / "a", []
    entries: list[Entry] = []
    path.touch()
    for round_ in range(5):
        with path.open("r+") as live:
            live.truncate(0)
            live.write(f"banner\nround {round_}\n")
        file = opened(path)
        known = KnownFiles(entries)
        known.identify("key", file, make_source_id)
        file.remember(file.size, file.read(0))
        file.acked["sink"] = file.size
        entries = known.entries(round_, 100)
        ids.append(file.source_id)
        file.close()

    assert len(set(ids)) == 5


def test_old_entry_without_a_mark(tmp_path: Path) -> None:
    """What version 1 wrote is matched by inode, first line and size, as it was then."""
    file = log_file(tmp_path / "a", "first\nsecond\n")
    entry = Entry("key", "old-id", file.inode, 99, file.fingerprint, {"sink": 6}, 1)

    KnownFiles([entry]).identify("key", file, make_source_id)

    file.close()
    assert (file.source_id, file.positions) == ("old-id", {"sink": 6})


def test_no_first_line_no_identity(tmp_path: Path) -> None:
    """A file waits until its first line is whole, or nothing more comes."""
    (tmp_path / "a").write_text("half")
    file = LogFile.open(tmp_path / "a")

    waiting, final = file.first_line(final=False), file.first_line(final=True)

    file.close()
    assert waiting == ""
    assert final


def test_old_positions_are_forgotten() -> None:
    """Entries of files that have not been seen for long are dropped."""
    known = KnownFiles([Entry("old", "1", seen_s=0), Entry("new", "2", seen_s=90)])

    assert [entry.key for entry in known.entries(100, 50)] == ["new"]


def test_files_that_are_gone_do_not_pile_up(tmp_path: Path) -> None:
    """Of many that came and went a bounded number is kept, and what is dropped leaves the checkpoint."""
    known = KnownFiles([])
    for number in range(ENDED_MAX + 50):
        file = log_file(tmp_path / f"{number}", f"{number}\n")
        known.identify("key", file, make_source_id)
        known.forget(file.source_id, number)
        file.close()
    changes = known.changes(1000)
    known.saved(changes)

    assert len(known.entries(1000, 10_000)) == ENDED_MAX
    assert len(changes.gone) == 50
    assert known.changes(1000).entries == []
    assert not known.urgent


def test_changes_come_until_everything_is_delivered(tmp_path: Path) -> None:
    """A source that was read comes with every save until the sinks have all of it; an idle one never."""
    busy, idle = log_file(tmp_path / "busy", "x\n"), log_file(tmp_path / "idle", "y\n")
    known = KnownFiles([])
    for file in (busy, idle):
        known.identify("key", file, make_source_id)
    known.saved(known.changes(0))
    busy.positions["sink"] = 2
    known.touch(busy.source_id)

    def save() -> list[str]:
        changes = known.changes(1)
        known.saved(changes)
        return [entry.source_id for entry in changes.entries]

    before = save()
    busy.acked["sink"] = 2
    after = save()
    last = save()

    busy.close()
    idle.close()
    assert before == after == [busy.source_id]
    assert last == []


def test_what_is_read_first_is_saved_first(tmp_path: Path) -> None:
    """While little is known of a file, its mark is saved before more of it is shipped: others may begin alike."""
    file = log_file(tmp_path / "a", "banner\nmore\n")
    known = KnownFiles([])
    known.identify("key", file, make_source_id)
    known.saved(known.changes(1))
    saved = known.urgent
    file.remember(file.size, file.read(0))
    known.touch(file.source_id, young=True)
    (entry,) = known.changes(1).entries

    file.close()
    assert not saved
    assert known.urgent
    assert entry.mark_at == file.size


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["log.1", "log.2", "log.10"], ["log.10", "log.2", "log.1"]),
        (["log-20261121", "log-20261122", "log.1"], ["log.1", "log-20261121", "log-20261122"]),
        (["log.1", "log.2.gz", "log.3.gz"], ["log.3.gz", "log.2.gz", "log.1"]),
        (["log.20261122-101500", "log.20261121-101500.gz"], ["log.20261121-101500.gz", "log.20261122-101500"]),
        (["log.bak", "log.", "log.1x", "other.1", "log1", "log.txt.1"], []),
    ],
)  # fmt: skip
def test_names_of_rotated_files(tmp_path: Path, names: list[str], expected: list[str]) -> None:
    """Numbers, dates and compressed ones are found, oldest first; other neighbours are not."""
    for name in names:
        (tmp_path / name).touch()

    assert [path.name for path in rotated(tmp_path / "log")] == expected
    assert {base_of(name) for name in expected} <= {"log"}


def test_a_renamed_file_is_found_by_its_inode(tmp_path: Path) -> None:
    """Whatever name it got."""
    (tmp_path / "log-of-yesterday").touch()
    inode = (tmp_path / "log-of-yesterday").stat().st_ino

    assert [p.name for p in rotated(tmp_path / "log", {inode})] == ["log-of-yesterday"]


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    """A pipe's writer keeps waiting, and folders, devices and links are refused."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").touch()
    for name in ("pipe", "folder", "link"):
        with pytest.raises(OSError, match="is no regular file"):
            LogFile.open(tmp_path / name)
    with pytest.raises(OSError, match="is no regular file"):
        LogFile.open(Path("/dev/null"))

    with pytest.raises(OSError, match="No such device or address"):  # nobody ever read from it
        os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    LogFile.open(tmp_path / "link", follow=True).close()

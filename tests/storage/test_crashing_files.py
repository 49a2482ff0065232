"""The disk that forgets: it lets pass what is safe, and finds out what is not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.files import replace_file, sync_path
from tests.fakes.crashing_files import CrashingFiles


def careless(path: Path, data: bytes) -> None:
    """Replace a file without a sync of its content."""
    temporary = path.with_name("tmp")
    temporary.write_bytes(data)
    temporary.rename(path)
    sync_path(path.parent)


def nameless(path: Path, data: bytes) -> None:
    """Replace a file without a sync of its name."""
    temporary = path.with_name("tmp")
    temporary.write_bytes(data)
    sync_path(temporary)
    temporary.rename(path)


@pytest.mark.parametrize(
    ("replace", "safe"), [(replace_file, True), (careless, False), (nameless, False)]
)
def test_replacing_a_file(
    tmp_path: Path, replace: Callable[[Path, bytes], None], safe: bool
) -> None:
    """What was promised is there in every state, if file and directory were synced; else not."""
    with CrashingFiles(tmp_path) as disk:
        for content in (b"one" * 9, b"two" * 9):
            replace(tmp_path / "file", content)
            disk.promised = content

    kept = [
        state.files.get("file") in (state.promised, b"two" * 9)
        for state in disk.states
        if state.promised is not None
    ]
    assert len(kept) >= 3
    assert all(kept) is safe


def test_appending(tmp_path: Path) -> None:
    """Between two syncs nothing, half, zeros or all of what was appended may be there."""
    with CrashingFiles(tmp_path) as disk:
        fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"ab")
        os.fdatasync(fd)
        sync_path(tmp_path)
        disk.promised = b"ab"
        os.write(fd, b"cdef")
        os.close(fd)

    left = {state.files["log"] for state in disk.states if state.promised}
    assert left == {b"ab", b"abcd", b"ab\0\0\0\0", b"abcdef"}


def test_a_state_is_laid_out(tmp_path: Path) -> None:
    """Folders are made anew; a folder that nobody synced is gone with all that is in it."""
    (tmp_path / "disk").mkdir()
    with CrashingFiles(tmp_path / "disk") as disk:
        (tmp_path / "disk" / "inner").mkdir()
        replace_file(tmp_path / "disk" / "inner" / "file", b"x")
        disk.promised = "the file"
        sync_path(tmp_path / "disk")
        disk.promised = "the folder"

    last = disk.states[-1].lay_out(tmp_path / "copy")
    assert [s.files for s in disk.states if s.promised == "the file"] == [{}, {"inner/file": b"x"}]
    assert [s.files for s in disk.states if s.promised == "the folder"] == [{"inner/file": b"x"}]
    assert (last / "inner" / "file").read_bytes() == b"x"

"""Rotation of sandbox files."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import TempPathFactory  # noqa: PT013

from discovery.process.sandbox import RotatingFile


def files(directory: Path) -> list[bytes]:
    """Return the contents, oldest first."""
    found = sorted(directory.iterdir(), key=lambda p: -int((p.suffix or ".0")[1:]))
    return [path.read_bytes() for path in found]


def test_rotation_keeps_the_newest_and_breaks_no_line(tmp_path: Path) -> None:
    """Numbered lines: those that are left are whole, in order, without a gap, up to the last."""
    file = RotatingFile(tmp_path / "stdout", max_bytes=1000, kept=3)
    for n in range(2000):
        file.write(f"line {n}\n".encode())
    file.close()
    parts = files(tmp_path)
    numbers = [int(n) for n in re.findall(rb"line (\d+)\n", b"".join(parts))]

    assert len(parts) == 4
    assert numbers == list(range(numbers[0], 2000))
    assert all(part.endswith(b"\n") and len(part) <= 1000 for part in parts)


@settings(deadline=None)  # it writes real files
@given(
    lines=st.lists(
        st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"x") + b"\n"), max_size=60
    ),
    cuts=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    max_bytes=st.integers(1, 100),
)
def test_no_byte_is_lost_while_files_are_kept(
    tmp_path_factory: TempPathFactory, lines: list[bytes], cuts: list[int], max_bytes: int
) -> None:
    """However the stream is cut into reads, all of it is there in order, and every file ends with a line."""
    directory = tmp_path_factory.mktemp("sandbox")
    file = RotatingFile(directory / "stdout", max_bytes=max_bytes, kept=1000)
    data, position, turn = b"".join(lines), 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        file.write(data[position : position + size])
        position, turn = position + size, turn + 1
    file.close()
    parts = files(directory)

    assert b"".join(parts) == data
    assert all(part.endswith(b"\n") for part in parts if part)


def test_endless_line_is_cut_with_a_mark_and_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line without an end does not let a file grow without one, nor rotate its neighbours away."""
    monkeypatch.setattr("discovery.process.sandbox._LONGEST_OVERHANG", 500)
    file = RotatingFile(tmp_path / "stdout", max_bytes=1000, kept=2)
    file.write(b"before\n")
    for _ in range(100):
        file.write(b"x" * 100)
    file.write(b"x\nafter\n")
    file.close()

    assert files(tmp_path) == [
        b"before\n" + b"x" * 1500 + b" [8501 bytes cut]\n",
        b"after\n",
    ]
    assert file.lost_bytes == 8501


def test_file_of_an_earlier_run_is_continued(tmp_path: Path) -> None:
    """Opening it again appends."""
    for text in (b"one\n", b"two\n"):
        file = RotatingFile(tmp_path / "stdout")
        file.write(text)
        file.close()

    assert files(tmp_path) == [b"one\ntwo\n"]


def test_full_disk_is_counted(tmp_path: Path) -> None:
    """What cannot be written is counted, and nothing is raised."""
    file = RotatingFile(tmp_path / "stdout")
    with Path("/dev/full").open("ab", buffering=0) as full:
        os.dup2(full.fileno(), file._file.fileno())
    file.write(b"lost\n")
    file.close()

    assert file.lost_bytes == 5

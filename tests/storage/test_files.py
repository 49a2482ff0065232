"""Rotation of files that grow."""

from pathlib import Path

import pytest

from storage.files import rotate


def test_rotation_renames_and_drops_the_oldest(tmp_path: Path) -> None:
    """Each file moves on by one; there are never more numbered ones than are kept."""
    path = tmp_path / "log"
    for text in "abcd":
        path.write_text(text)
        rotate(path, 2)

    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"log.1": "d", "log.2": "c"}


@pytest.mark.parametrize(("size", "left"), [(None, []), (9, ["log"]), (10, ["log.1"])])
def test_small_or_missing_file_stays(tmp_path: Path, size: int | None, left: list[str]) -> None:
    """A file below the size, or none, is no reason to rotate."""
    if size is not None:
        (tmp_path / "log").write_bytes(b"x" * size)
    rotate(tmp_path / "log", 3, at_bytes=10)

    assert [p.name for p in tmp_path.iterdir()] == left

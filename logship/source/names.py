"""The names that rotated files get: ``app.log.1``, ``app.log-20261122``, ``0.log.20261122-101500``, and ``.gz`` of each."""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

_SUFFIX: Final = re.compile(r"[.-](\d[\d\-_.T:]*)(\.gz)?", re.ASCII)
_NUMBER_DIGITS: Final = 5  # a longer number is a date


def rotated(base: Path, inodes: Collection[int] = ()) -> list[Path]:
    """Return the rotated files of a stream, oldest first.

    Args:
        base: The name of the live file.
        inodes: Of files that are looked for under whatever name they have now.
    """
    length = len(base.name)
    found: list[tuple[tuple[int, str, int], str]] = []
    try:
        with os.scandir(base.parent) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(base.name) and len(name) > length:
                    match = _SUFFIX.fullmatch(name, length)
                    if match is not None:
                        found.append((_age(match[1]), entry.path))
                        continue
                if name != base.name and inodes and entry.inode() in inodes:
                    found.append(((0, "", 0), entry.path))
    except OSError:
        return []
    return [Path(path) for _, path in sorted(found)]


def _age(suffix: str) -> tuple[int, str, int]:
    """Return a key that sorts the oldest first: high numbers, then dates."""
    if suffix.isdigit() and len(suffix) <= _NUMBER_DIGITS:
        return 1, "", -int(suffix)
    return 2, suffix, 0


def base_of(name: str) -> str:
    """Return the name that a rotated file had while it was written; "" if the name is not of that form."""
    for match in re.finditer(r"[.-](?=\d)", name):
        if match.start() and _SUFFIX.fullmatch(name, match.start()):
            return name[: match.start()]
    return ""

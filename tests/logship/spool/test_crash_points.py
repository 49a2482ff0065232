"""A power loss at every step: whatever the disk kept of what was not synced, what was safe is there."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from logship.spool import segment as segments
from logship.spool.spool import Spool


class Disk:
    """Follows what the spool does to files, so that a power loss can be made up after any step.

    A file has what was synced, and writes that may be there wholly, partly or not at all. A name
    is sure once its directory was synced.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: dict[str, bytes] = {}
        self.dirty: dict[str, bytes] = {}
        self.sure: set[str] = set()
        self.steps: list[tuple[dict[str, bytes], dict[str, bytes], set[str], list[bytes]]] = []
        self.safe: list[bytes] = []
        self._names: dict[int, str] = {}
        self._real: dict[str, Callable[..., Any]] = {n: getattr(os, n) for n in ("open", "write", "fdatasync")}  # fmt: skip
        for name in self._real:
            monkeypatch.setattr(os, name, getattr(self, name))
        monkeypatch.setattr(segments, "sync_path", self.sync_directory)

    def note(self) -> None:
        """Remember how things stand."""
        self.steps.append((dict(self.synced), dict(self.dirty), set(self.sure), list(self.safe)))

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        fd: int = self._real["open"](path, flags, mode)
        if flags & os.O_CREAT and str(path).endswith(".spool"):
            self._names[fd] = Path(path).name
            self.synced.setdefault(Path(path).name, b"")
            self.dirty.setdefault(Path(path).name, b"")
            self.note()
        return fd

    def write(self, fd: int, data: bytes) -> int:
        done: int = self._real["write"](fd, data)
        if fd not in self._names:
            return done
        self.dirty[self._names[fd]] += bytes(data[:done])
        self.note()
        return done

    def fdatasync(self, fd: int) -> None:
        self._real["fdatasync"](fd)
        name = self._names[fd]
        self.synced[name] += self.dirty[name]
        self.dirty[name] = b""
        self.note()

    def sync_directory(self, path: Path) -> None:
        self.sure |= set(self.synced)
        self.note()


def outcomes(dirty: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield what may be there of bytes that were written and not synced."""
    yield b""
    yield dirty
    if dirty:
        cut = chance.randrange(len(dirty))
        yield dirty[:cut]
        yield dirty[:cut] + b"\0" * (len(dirty) - cut)  # the length was written, the data was not
        yield b"\0" * cut + dirty[cut:]


@pytest.mark.parametrize("seed", range(4))
def test_power_loss_at_every_step_loses_nothing_that_was_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:  # fmt: skip
    """Nor does it bring anything twice or out of order, and it takes records again."""
    chance = random.Random(seed)
    disk = Disk(monkeypatch)
    spool = Spool(tmp_path / "spool", disk_bytes=1 << 20, segment_bytes=200)
    for number in range(25):
        end = spool.append(b"%d:" % number + b"z" * chance.randrange(60))
        if chance.random() < 0.6:
            spool.sync(end)
            disk.safe = [b"%d" % n for n in range(number + 1)]
            disk.note()
    monkeypatch.undo()

    for step, (synced, dirty, sure, safe) in enumerate(disk.steps):
        for variant in range(5):
            directory = tmp_path / f"{step}-{variant}"
            directory.mkdir()
            for name, data in synced.items():
                if name not in sure and variant % 2:
                    continue
                kept = list(outcomes(dirty[name], chance))
                (directory / name).write_bytes(data + kept[variant % len(kept)])
            again = Spool(directory, disk_bytes=1 << 20, segment_bytes=200)
            again.sync(again.append(b"new:"))
            found, position = [], 0
            while position < again.durable:
                read = again.read(position)
                found += [record.payload.partition(b":")[0] for record in read.records]
                position = read.end
            again.close()
            assert found[-1] == b"new"
            assert found[: len(safe)] == safe
            assert found[:-1] == [b"%d" % n for n in range(len(found) - 1)] or variant in (3, 4)

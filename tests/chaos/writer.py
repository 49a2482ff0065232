"""Tasks that write numbered lines and rotate their files in every way that is met in the field.

A *patient* writer destroys bytes (truncates, unlinks) only when all it wrote has arrived; a *rude* one at once,
and notes which lines may be gone.
"""

import gzip
import itertools
import os
import random
import shutil
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from tests.chaos.lines import banner, line

KEPT_FILES: Final = 6
_PATIENCE_SECONDS: Final = 15.0


class Kind(Struct, frozen=True):
    """What sort of writer.

    Attributes:
        form: Of the lines; see ``lines.FORMS``.
        rotation: ``none``, ``rename``, ``gz``, ``copytruncate``, ``copy-beside`` (its copy is named ``.1``),
            ``recreate`` or ``symlink``.
        rude: Whether it destroys what has not arrived.
        banner: Whether each of its files begins with the same line.
    """

    form: str
    rotation: str
    rude: bool = False
    banner: bool = False

    def __str__(self) -> str:
        """Return it for people."""
        marks = (" rude" if self.rude else "") + (" banner" if self.banner else "")
        return f"{self.form} {self.rotation}{marks}"


class Ledger(Struct):
    """What a writer wrote: only lines whose write returned.

    Attributes:
        written: When line ``n + 1`` was written, monotonic seconds.
        risked: First and last number of the lines that were in a file when it was destroyed, rude writers only.
        banners: How many banners were written; those of a rude writer may be gone.
        rotations: How often a file was rotated.
    """

    written: "array[float]" = field(default_factory=lambda: array("d"))
    risked: list[tuple[int, int]] = field(default_factory=list)
    banners: int = 0
    rotations: int = 0

    def lines(self) -> int:
        """Return how many lines there are, banners too."""
        return len(self.written) + self.banners


class Writer(threading.Thread):
    """Writes until stopped; ``arrived`` says how many of its lines are in Elasticsearch."""

    def __init__(
        self, name: str, kind: Kind, path: Path, seed: int, arrived: Callable[[str], int]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.kind = kind
        self.path = path
        self.ledger = Ledger()
        self.problem = ""
        self._seed = seed
        self._random = random.Random(f"{seed}/{name}")
        self._arrived = arrived
        self._end = threading.Event()
        self._first = 1  # number of the first line of the file that is written
        self._kept: list[int] = []  # last number of each rotated file, oldest first
        self._numbers = itertools.count(1)
        self._fd = -1
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind.rotation == "symlink":
            self._link()
        self._open()

    def run(self) -> None:
        """Write a few lines, rest, now and then rotate."""
        try:
            while not self._end.is_set():
                self._burst()
                if self.kind.rotation != "none" and self._random.random() < 0.06:
                    self._rotate()
                self._end.wait(self._random.expovariate(1 / 0.15))
        except Exception as error:
            self.problem = f"{self.name}: {type(error).__name__}: {error}"
            raise

    def stop(self) -> None:
        """End; the last line is whole."""
        self._end.set()
        self.join()

    # ------------------------------------------------------------ writing

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._greet()

    def _greet(self) -> None:
        if self.kind.banner:
            self._write(banner(self.kind.form).encode())
            self.ledger.banners += 1

    def _burst(self) -> None:
        count = 200 if self._random.random() < 0.01 else self._random.randrange(1, 8)
        first = len(self.ledger.written) + 1
        text = "".join(line(self._seed, self.name, first + n, self.kind.form) for n in range(count))
        data = text.encode()
        # a trace is one write; a line of its own may come to the file in two
        if self._random.random() < 0.03 and "\n\tat" not in text and "\\tat" not in text:
            cut = self._random.randrange(len(data))
            self._write(data[:cut])
            self._end.wait(self._random.uniform(0.0, 0.05))
            data = data[cut:]
        self._write(data)
        self.ledger.written.extend([time.monotonic()] * count)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    # ------------------------------------------------------------ rotating

    def _rotate(self) -> None:
        rotation = self.kind.rotation
        destroys = rotation in {"copytruncate", "copy-beside", "recreate"}
        if destroys and not self.kind.rude and not self._all_arrived():
            return
        last = len(self.ledger.written)
        if destroys and self.kind.rude:
            self.ledger.risked.append((self._first, last))
        if rotation == "rename":
            self._shift("")
        elif rotation == "gz":
            self._shift(".gz")
        elif rotation == "recreate":
            os.close(self._fd)
            self.path.unlink()
            self._open()
        elif rotation == "symlink":
            self._switch()
        else:
            beside = rotation == "copy-beside"
            copy = self.path.with_name(f"{self.path.name}.1") if beside else self.path.parents[1] / f"{self.name}.copy"  # fmt: skip
            shutil.copyfile(self.path, copy)
            os.ftruncate(self._fd, 0)
            self._greet()
        self._first = last + 1
        self.ledger.rotations += 1

    def _all_arrived(self) -> bool:
        """Wait until everything is in Elasticsearch; False if it takes too long."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end and not self._end.is_set():
            if self._arrived(self.name) >= self.ledger.lines():
                return True
            self._end.wait(0.1)
        return False

    def _shift(self, suffix: str) -> None:
        """Rename ``x.1`` to ``x.2`` and so on; with a suffix, what is no longer written is compressed.

        The oldest file goes once everything has arrived that was written until now.
        """
        if len(self._kept) >= KEPT_FILES and self._arrived(self.name) < self.ledger.lines():
            return
        os.close(self._fd)
        if len(self._kept) >= KEPT_FILES:
            self._numbered(len(self._kept), suffix).unlink()
            self._kept.pop(0)
        for number in range(len(self._kept), 0, -1):
            old = self._numbered(number, suffix)
            old.rename(self._numbered(number + 1, suffix))
        self._kept.append(len(self.ledger.written))
        newest = self._numbered(1, "")
        self.path.rename(newest)
        self._open()
        if suffix:
            packed = self._numbered(1, suffix)
            part = packed.with_suffix(".part")
            with newest.open("rb") as plain, gzip.open(part, "wb") as file:
                shutil.copyfileobj(plain, file)
            part.rename(packed)
            newest.unlink()

    def _numbered(self, number: int, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{suffix}")

    def _switch(self) -> None:
        """Let the name point to another file, as multilog and svlogd wrappers do."""
        os.close(self._fd)
        self._link()
        self._open()

    def _link(self) -> None:
        target = self.path.with_name(f"{self.path.name}-{next(self._numbers)}.log")
        target.touch()
        link = self.path.with_name("link.new")
        link.symlink_to(target.name)
        link.replace(self.path)

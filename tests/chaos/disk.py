"""A small file system of its own that can be filled to the last byte."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

_BYTES = 8 << 20


class SmallDisk:
    """A tmpfs; see ``full``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, path: Path) -> "Iterator[SmallDisk | None]":
        """Mount one over a directory that is made; without root only the directory is made."""
        path.mkdir(parents=True)
        if os.geteuid() != 0:
            yield None
            return
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_BYTES},mode=700", "chaos-logs", path], check=True)  # fmt: skip
        try:
            yield cls(path)
        finally:
            subprocess.run(["umount", path], check=True)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave not a byte; what others free is taken, too, until the block ends."""
        filler, end = self._path / "filler", threading.Event()
        thread = threading.Thread(target=_fill, args=(filler, end), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
            filler.unlink(missing_ok=True)


def _fill(filler: Path, end: threading.Event) -> None:
    with filler.open("ab", buffering=0) as file:
        size = 1 << 20
        while not end.is_set():
            try:
                file.write(bytes(size))
            except OSError:
                if size == 1:
                    end.wait(0.02)
                size = max(1, size // 16)

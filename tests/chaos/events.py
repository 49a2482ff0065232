"""The task that writes through the agent itself: numbered events, which wait in the agent's own buffer on disk.

Its ledger is a file, because it dies with the agent: ``try n at`` before an event is appended and ``done n`` once that has
returned. One that was tried only may be there or not, but not twice.
"""

import os
import threading
import time
import zlib
from array import array
from pathlib import Path
from typing import Final

from logship.events import EventLog
from model.errors import StorageError
from model.log import Level
from tests.chaos.lines import payload
from tests.chaos.writer import Kind, Ledger
from tests.fakes.tasks import make_task

NAME: Final = "events"
KIND: Final = Kind("event", "none")
_PAUSE_SECONDS: Final = 0.02


class Events:
    """The ledger as it is read; see ``Writer`` for the attributes."""

    def __init__(self, path: Path) -> None:
        self.name = NAME
        self.kind = KIND
        self.ledger = Ledger()
        self.problem = ""
        self.path = path
        path.touch()

    def read(self) -> None:
        """Read what was written; a last line that the agent died over does not count."""
        tried: dict[int, float] = {}
        done = set()
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            words = line.split()
            if line.endswith("\n") and words[0] == "try":
                tried[int(words[1])] = float(words[2])
            elif line.endswith("\n"):
                done.add(int(words[1]))
        self.ledger.written = array("d", tried.values())
        self.ledger.risked = [(seq, seq) for seq in tried if seq not in done]


def write(events: EventLog, path: Path, seed: int, end: threading.Event) -> None:
    """Append events until the end; numbers go on where the last agent's ended."""
    said = path.read_bytes()
    whole = said[: said.rfind(b"\n") + 1]
    os.truncate(path, len(whole))  # in one step: this process may be killed at any
    seq = sum(line.startswith(b"try") for line in whole.splitlines())
    identity = make_task(NAME).identity
    with path.open("a", encoding="utf-8") as ledger:
        while not end.wait(_PAUSE_SECONDS):
            seq += 1
            text = payload(seed, NAME, seq, KIND.form)
            ledger.write(f"try {seq} {time.monotonic()}\n")
            ledger.flush()
            message = f"task={NAME} seq={seq} crc={zlib.crc32(text.encode()):08x} {text}"
            try:
                events.append(identity, Level.INFO, message, {"n": seq})
            except (OSError, StorageError):  # the disk is full
                continue
            ledger.write(f"done {seq}\n")
            ledger.flush()

"""What the write-ahead log writes at once."""

import threading
from typing import Final, Protocol

import numpy as np
from msgspec import Struct, field

from model.errors import StorageError
from model.samples import Exemplar
from storage.interface import Metadata, Refs
from storage.tsdb import records
from storage.tsdb.exemplars import Tokens
from storage.tsdb.head import Layout, Made, Taken
from storage.tsdb.samples import Samples

_WORTH: Final = 8  # columns; shorter chunks cost the log more than they spare a start


class Log(Protocol):
    """Who writes groups."""

    def hurry(self, group: "Group") -> None:
        """Write the group now: somebody waits for it."""
        ...


class Group(Struct):
    """What is written at once; also the ticket of everything in it."""

    wal: Log
    sealed: list[Made] = field(default_factory=list)  # lacks nothing without them
    scrapes: list[records.Scrape] = field(default_factory=list)
    layouts: dict[int, Layout] = field(default_factory=dict)
    samples: list[Samples] = field(default_factory=list)
    exemplars: list[tuple[Refs, list[Exemplar]]] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)  # what their ring calls them
    all_exemplars: bool = False  # ``exemplars`` begin with all that are kept
    metadata: dict[str, Metadata] = field(default_factory=dict)
    bytes: int = 0
    begun: float = 0.0
    sync: bool = False  # somebody waits until it is durable
    error: StorageError | None = None
    sync_error: StorageError | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def add_scrape(self, layout: Layout, ts_ms: int, taken: Taken) -> int:
        """Take a scrape and the chunks that were made for it, and return about how many bytes they are."""
        made = [one for one in taken.made if one.chunk.width >= _WORTH]
        self.sealed += made
        self.scrapes.append(records.Scrape(layout.id, ts_ms, taken.values))
        self.layouts[layout.id] = layout
        self.layouts.update((one.layout.id, one.layout) for one in made)
        return taken.values.nbytes + sum(len(one.chunk.refs) * one.chunk.width for one in made)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """See ``model.samples.Ticket``."""
        if not self.done.is_set():
            self.wal.hurry(self)
            if not self.done.wait(timeout_seconds):
                return False
        if self.error is not None:
            raise self.error
        return True

    def every_exemplar(self) -> tuple[Refs, list[Exemplar]]:
        """Return all exemplars."""
        refs = np.concatenate([owners for owners, _ in self.exemplars])
        return refs, [one for _, some in self.exemplars for one in some]

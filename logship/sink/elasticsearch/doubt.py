"""Which records may be in Elasticsearch although nobody said so.

``create`` with the same id is refused only within one backing index. So a record that may have
been stored before (its request was cut, or another life of this process sent it) is looked up in
all backing indices of the data stream before it is sent again; else a rollover in between would
store it twice.
"""

import threading
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from model.log import LogBatch

WINDOW_BYTES: Final = 8 << 20


class Doubts:
    """Remembers what was sent without an answer, and from where on sources go on after a restart.

    Args:
        window_bytes: How far a former life can have sent ahead of what it noted down: all that a
            lane buffers.
    """

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self._window = window_bytes
        self._left: dict[str, int] = {}  # by source that goes on: bytes until it is new
        self._open: dict[str, list[tuple[int, int]]] = {}  # by source: first and last offset
        self._lock = threading.Lock()

    def resumed(self, source_ids: Iterable[str]) -> None:
        """Doubt the next records of sources that were there before this process."""
        with self._lock:
            for source_id in source_ids:
                self._left.setdefault(source_id, self._window)

    def add(self, batch: LogBatch) -> None:
        """Doubt records that were sent: nobody knows whether they are there."""
        if len(batch):
            with self._lock:
                self._open.setdefault(batch.source_id, []).append((int(batch.offsets[0]), int(batch.offsets[-1])))  # fmt: skip

    def about(self, batch: LogBatch) -> bool:
        """Tell whether records of a batch may be there."""
        if not self._left and not self._open:
            return False
        source, first, last = batch.source_id, int(batch.offsets[0]), int(batch.offsets[-1])
        with self._lock:
            return source in self._left or any(
                first <= end and start <= last for start, end in self._open.get(source, ())
            )

    def settle(self, batch: LogBatch, status: npt.NDArray[np.int16]) -> None:
        """Take note of an answer: doubt ends for what has been stored, or was there already."""
        if not self._left and not self._open:
            return
        source = batch.source_id
        again = np.flatnonzero((status != 201) & (status != 409) & (status != 400))
        with self._lock:
            if source in self._left:
                size = int((batch.message.ends - batch.message.starts).sum() + (batch.fields.ends - batch.fields.starts).sum()) + len(batch)  # fmt: skip
                # one that was there says that the former life came this far; it can have got further
                left = self._window if (status == 409).any() else self._left[source] - size
                if left > 0:
                    self._left[source] = left
                else:
                    del self._left[source]
            if source in self._open:
                first, last = int(batch.offsets[0]), int(batch.offsets[-1])
                kept = [(s, e) for s, e in self._open[source] if last < s or e < first]
                if len(kept) < len(self._open[source]) and len(again):
                    kept.append((int(batch.offsets[again[0]]), int(batch.offsets[again[-1]])))
                if kept:
                    self._open[source] = kept
                else:
                    del self._open[source]

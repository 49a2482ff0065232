"""A sink that keeps what it is given, and can be told to fail."""

import threading
from collections.abc import Sequence

import numpy as np

from logship import ecs
from model.errors import DeliveryError
from model.log import Delivery, LogBatch


class RecordingSink:
    """Keeps records by document id, in order of arrival; see ``logship.sink.base.Sink``."""

    def __init__(self, name: str = "recording") -> None:
        self.name = name
        self.records: dict[str, str] = {}
        self.repeats = 0
        self.batches: list[LogBatch] = []
        self.failing: DeliveryError | None = None
        self._lock = threading.Lock()

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        if self.failing is not None:
            raise self.failing
        with self._lock:
            deliveries = []
            for batch in batches:
                status = np.full(len(batch), 201, dtype=np.int16)
                for row, offset in enumerate(batch.offsets.tolist()):
                    key = ecs.document_id(batch.source_id, offset)
                    if key in self.records:
                        self.repeats += 1
                        status[row] = 409
                    else:
                        self.records[key] = batch.text(row)
                self.batches.append(batch)
                deliveries.append(Delivery(status))
            return deliveries

    @property
    def texts(self) -> list[str]:
        """Messages in order of arrival."""
        return list(self.records.values())

    def check(self, timeout_seconds: float) -> None:
        """Fail as ``write`` would."""
        if self.failing is not None:
            raise self.failing

    def close(self) -> None:
        """Nothing to let go of."""

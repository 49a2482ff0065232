"""The sink of the embedded log store."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from logship.sink.base import Sink
from model.errors import DeliveryError, StorageError
from model.log import Delivery, LogBatch
from storage.interface import LogStore


class EmbeddedSink:
    """Appends to a ``LogStore`` of the same process; all batches of a write share the wait."""

    def __init__(self, store: LogStore, name: str = "embedded") -> None:
        self.name = name
        self._store = store

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """See ``Sink.write``."""
        try:
            taken = [self._store.append(batch) for batch in batches]
            for _, ticket in taken:
                if not ticket.wait(timeout_seconds):
                    raise DeliveryError("the embedded log store did not answer in time", retryable=True)  # fmt: skip
        except StorageError as error:
            raise DeliveryError(str(error), retryable=True) from error
        return [delivery for delivery, _ in taken]

    def check(self, timeout_seconds: float) -> None:
        """The store is in this process: there is nothing to ask."""

    def close(self) -> None:
        """The store is closed by its owner."""


if TYPE_CHECKING:
    _: type[Sink] = EmbeddedSink

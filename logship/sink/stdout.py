"""The sink on standard output: one ECS document per line, for whoever reads it there."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from logship import ecs
from logship.sink.base import Sink
from model.errors import DeliveryError, reason_of
from model.log import Delivery, LogBatch

DESCRIPTOR: Final = 1


class StdoutSink:
    """Writes documents to a descriptor; taken is what the kernel took. See ``Sink``.

    A pipe that nobody reads keeps it waiting, and with it this sink only.
    """

    def __init__(self, descriptor: int = DESCRIPTOR, name: str = "stdout") -> None:
        self.name = name
        self._descriptor = descriptor
        self._torn = False

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """See ``Sink.write``."""
        for batch in batches:
            lines = ecs.documents(batch)
            self._write(b"\n".join(lines) + b"\n" if lines else b"")
        return [Delivery(np.full(len(batch), 201, dtype=np.int16)) for batch in batches]

    def _write(self, data: bytes) -> None:
        if self._torn:  # a line that was cut before is ended, so that it costs no other
            data = b"\n" + data
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
                self._torn = bool(view)
        except OSError as error:
            raise DeliveryError(f"standard output takes nothing: {reason_of(error)}", retryable=True) from error  # fmt: skip

    def check(self, timeout_seconds: float) -> None:
        """Writing tells."""

    def close(self) -> None:
        """The descriptor is the process's."""


if TYPE_CHECKING:
    _: type[Sink] = StdoutSink

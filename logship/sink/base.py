"""What a sink is."""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from model.log import Delivery, LogBatch


class Sink(Protocol):
    """Delivers batches to one place, at least once; ``write`` is called by one thread at a time.

    Attributes:
        name: Unique among the sinks of a shipper; the checkpoint keeps positions under it.
    """

    name: str

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """Deliver batches in one go and return when the far side has them durably.

        Returns:
            One delivery per batch, in order. Records that are retryable are given again, alone;
            those with 400 go to the dead-letter file.

        Raises:
            DeliveryError: If nothing was taken. It is tried again later whatever ``retryable``
                says; False (a wrong password) means rarely, and the message is shown to people.
        """
        ...

    def check(self, timeout_seconds: float) -> None:
        """Find out whether a delivery would be taken, where that is not known without asking.

        Raises:
            DeliveryError: As of ``write``.
        """
        ...

    def close(self) -> None:
        """Let go of connections; safe twice."""
        ...


@runtime_checkable
class ConcurrentSink(Sink, Protocol):
    """A sink whose ``write`` several threads may call at once, also for parts of one source.

    Attributes:
        parallel: Most calls at once.
    """

    parallel: int

    def ahead(self, batch: LogBatch) -> None:
        """Make what ``write`` will send of a batch; called by the thread that read it, soon before.

        The interpreter's small objects come from one pool. Where one thread makes and drops them
        by the thousand that stays in its core's cache; where two do, each waits for the other's.
        """
        ...

    def resumed(self, source_ids: Iterable[str]) -> None:
        """Take note, before their first records come, of sources that another life of this process may have read.

        It may have delivered more of them than it noted down: what comes first can be there already.
        """
        ...

"""Delta points summed up, so that what is stored is cumulative; streams that were silent longest go first."""

from collections import OrderedDict
from typing import Any

from msgspec import Struct, field

from model.labels import Labels


class LateDeltaError(ValueError):
    """A delta point that ends before the one before it: it may be in the sum already."""


class _Stream(Struct):
    start: int
    until: int
    total: Any


class DeltaSums(Struct):
    """The running sums by stream; for one thread at a time.

    Attributes:
        max_streams: Most that are kept.
    """

    max_streams: int = 100_000
    _streams: OrderedDict[tuple[Labels, type], _Stream] = field(default_factory=OrderedDict)

    @property
    def size(self) -> int:
        """Number of streams."""
        return len(self._streams)

    def add(self, labels: Labels, start: int, until: int, value: Any) -> tuple[int, Any]:
        """Add a point to its stream.

        Args:
            labels: The stream's.
            start: Where the point begins, in ns.
            until: Its time, in ns.
            value: Has ``+``; another type is another stream.

        Returns:
            ``(start, total)`` of the cumulative point.

        Raises:
            LateDeltaError: If it does not come after the one before it.
        """
        key = labels, type(value)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(start or until, until, value)
            while len(self._streams) > self.max_streams:
                self._streams.popitem(last=False)
            return stream.start, stream.total
        if until <= stream.until:
            raise LateDeltaError("a delta point is not newer than the one before it")
        stream.total = stream.total + value
        stream.until = until
        self._streams.move_to_end(key)
        return stream.start, stream.total

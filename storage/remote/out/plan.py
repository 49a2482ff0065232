"""How many shards the load asks for: as Prometheus's queue manager finds it, from what flows.

A shard sends one request at a time. What a sample takes on its way out, times the samples per second
that come in and a part of those that wait, is the number of shards that have to send at a time.
"""

import math
from collections.abc import Callable
from threading import Lock
from typing import Final, NamedTuple

from msgspec import Struct, field

_WEIGHT: Final = 0.2  # of the newest interval in the running rates
_CATCH_UP: Final = 0.05  # part of what waits that should go in a second
_TOLERANCE: Final = 0.3  # a change that is smaller is not worth it
_BEHIND_SECONDS: Final = 10.0  # if what waits is worth more, shards do not become fewer


class Passed(NamedTuple):
    """What has passed in an interval; ``seconds`` were spent on sending, by all shards together."""

    sent: int
    seconds: float
    taken: bool


class Flow:
    """Counts what shards send; from any thread.

    Args:
        monotonic: Tells the time.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._lock = Lock()
        self._sent, self._seconds, self._taken = 0, 0.0, False

    def done(self, number: int, seconds: float, *, taken: bool) -> None:
        """Say that some were sent, for the better or worse, and how long that took."""
        with self._lock:
            self._sent += number
            self._seconds += seconds
            self._taken = self._taken or taken

    def collect(self) -> Passed:
        """Return what was counted since the last time."""
        with self._lock:
            passed = Passed(self._sent, self._seconds, self._taken)
            self._sent, self._seconds, self._taken = 0, 0.0, False
        return passed


class _Rate(Struct):
    """Something per second, as an average in which the past fades."""

    value: float = 0.0
    _begun: bool = False

    def add(self, number: float, seconds: float) -> None:
        now = number / seconds
        self.value = self.value + _WEIGHT * (now - self.value) if self._begun else now
        self._begun = True


class ShardPlan(Struct):
    """See the module.

    Attributes:
        min_shards: Fewest.
        max_shards: Most.
    """

    min_shards: int
    max_shards: int
    _arriving: _Rate = field(default_factory=_Rate)
    _dropped: _Rate = field(default_factory=_Rate)
    _sent: _Rate = field(default_factory=_Rate)
    _busy: _Rate = field(default_factory=_Rate)

    def desired(
        self,
        shards: int,
        seconds: float,
        arrived: float,
        dropped: int,
        passed: Passed,
        behind: float,
    ) -> int:
        """Take an interval in, and return how many shards there should be.

        Args:
            shards: How many there are.
            seconds: Length of the interval.
            arrived: Samples that the store took in it.
            dropped: Samples that were read but are not sent.
            passed: What was sent.
            behind: Samples of the store that are not sent yet.
        """
        self._arriving.add(arrived, seconds)
        self._dropped.add(dropped, seconds)
        self._sent.add(passed.sent, seconds)
        self._busy.add(passed.seconds, seconds)
        sent = self._sent.value
        if sent <= 0:
            return shards
        kept = sent / (sent + self._dropped.value)
        arriving = self._arriving.value * kept
        wanted = math.ceil(self._busy.value / sent * (arriving + _CATCH_UP * behind * kept))
        if shards * (1 - _TOLERANCE) <= wanted <= shards * (1 + _TOLERANCE):
            return shards
        if wanted < shards and behind * kept > _BEHIND_SECONDS * arriving:
            return shards
        return max(self.min_shards, min(wanted, self.max_shards))


class Backlog:
    """What the store's log holds in samples, judged by how many its bytes have held so far; for one thread."""

    def __init__(self) -> None:
        self._per_byte = 0.0
        self._bytes = 0
        self._samples = 0
        self._unread = 0

    def read(self, size: int) -> None:
        """Say that some bytes were read ..."""
        self._bytes += size

    def took(self, samples: int) -> None:
        """... and what was in them."""
        self._samples += samples

    def look(self, unread: int) -> tuple[float, float]:
        """Return how many samples came since the last time, and how many are not read yet.

        Args:
            unread: Bytes that are not read yet.
        """
        if self._bytes:
            self._per_byte = self._samples / self._bytes
        arrived = self._samples + (unread - self._unread) * self._per_byte
        self._unread, self._bytes, self._samples = unread, 0, 0
        return max(arrived, 0.0), unread * self._per_byte

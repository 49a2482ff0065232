"""Time as a parameter: cores take a ``Clock``, only ``taskscope/`` owns the real one. And how a time is written."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits; tests drive it by hand."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...


def now_ms(clock: Clock) -> int:
    """Return milliseconds since the epoch, UTC."""
    return clock.now_ns() // 1_000_000


def rfc3339(ms: int) -> str:
    """Return a time in ms since the epoch as Go writes it: UTC, a fraction only if there is one, without final zeros."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    fraction = f".{ms % 1000:03d}".rstrip("0") if ms % 1000 else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"

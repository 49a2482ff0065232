"""Time as a parameter: cores take a ``Clock``, only ``taskscope/`` owns the real one."""

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

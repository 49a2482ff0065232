"""The real clock; everything below ``taskscope/`` gets it handed in."""

import time


class SystemClock:
    """See ``model.clock.Clock``."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

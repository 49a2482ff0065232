"""The real clock, for tests against real runtimes."""

import time


class SystemClock:
    """See ``model.clock.Clock``."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

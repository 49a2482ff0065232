"""When a rule group is evaluated. Pure; no clock."""

import zlib

from msgspec import Struct


class Schedule(Struct):
    """Every interval, shifted by a hash of the group's name so that groups spread out.

    The shift is the same at each start, so evaluations stay on one grid (as Prometheus's
    ``EvalTimestamp``).
    """

    key: str
    interval_ms: int
    next_ms: int = 0

    def start(self, now_ms: int) -> None:
        """Set the first time, within one interval from now."""
        offset = zlib.crc32(self.key.encode()) % self.interval_ms
        passed = (now_ms - offset) // self.interval_ms
        self.next_ms = (passed + 1) * self.interval_ms + offset

    def is_due(self, now_ms: int) -> bool:
        """Whether ``take`` has something to do: the time has come, or the wall clock was set back."""
        return self.next_ms <= now_ms or self.next_ms - now_ms > self.interval_ms

    def take(self, now_ms: int) -> tuple[int, int] | None:
        """Set the next time; return the one to evaluate at now and how many before it were missed.

        None after the wall clock was set back: nothing is due then before the new next time.
        """
        if self.next_ms > now_ms:
            self.start(now_ms)
            return None
        missed = (now_ms - self.next_ms) // self.interval_ms
        at_ms = self.next_ms + missed * self.interval_ms
        self.next_ms = at_ms + self.interval_ms
        return at_ms, missed

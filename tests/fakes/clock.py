"""A clock that tests turn by hand."""


class FakeClock:
    """See ``model.clock.Clock``; starts at 2026-01-01T00:00:00Z unless told otherwise."""

    def __init__(self, now_ms: int = 1_767_225_600_000) -> None:
        self._ns = now_ms * 1_000_000
        self._monotonic = 0.0

    def now_ns(self) -> int:
        return self._ns

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._ns += int(seconds * 1e9)
        self._monotonic += seconds

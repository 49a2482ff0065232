"""How much is sent at once, and how many requests at a time: found by trying what is faster, halved where it is too much."""

from typing import Final

from msgspec import Struct

REQUEST_BYTES: Final = 1 << 20
BYTES_MIN: Final = 64 << 10
BYTES_MAX: Final = 2 << 20
SLOW_SECONDS: Final = 2.0  # a request that takes longer is too large
QUICK_SECONDS: Final = 0.05  # one that takes less gains nothing by being larger
BUSY: Final = 0.8  # of a core: who computes as fast as this waits for nobody
ROUND_REQUESTS: Final = 4  # per request in flight, before a round is judged
GAIN: Final = 1.1  # what one more request at a time must bring
REST_ROUNDS: Final = 16  # after a try that brought nothing


class Pace(Struct):
    """The state of the search; the caller holds a lock.

    Attributes:
        parallel_max: Most requests at a time.
        bytes_max: Largest request, as bytes read.
        request_bytes: How large requests are now.
        parallel: How many at a time now.
    """

    parallel_max: int = 1
    bytes_max: int = BYTES_MAX
    request_bytes: int = REQUEST_BYTES
    parallel: int = 1
    _round_bytes: int = 0
    _round_requests: int = 0
    _round_started: float = -1.0
    _round_cpu: float = 0.0
    _rate: float = 0.0  # bytes per second before the latest step up, 0 if there was none
    _rest: int = 0

    def delivered(self, size: int, seconds: float, now: float, *, cpu: float = 0.0, more: bool) -> None:  # fmt: skip
        """Take note of a request that went well.

        Args:
            size: Bytes read that it carried.
            seconds: How long it took.
            now: Monotonic seconds.
            cpu: CPU seconds of this process so far.
            more: Whether a whole further request was waiting; else nothing is to be learnt.
        """
        if seconds > SLOW_SECONDS:
            self.request_bytes = max(BYTES_MIN, self.request_bytes * 3 // 4)
        elif more and seconds > QUICK_SECONDS:
            self.request_bytes = min(self.bytes_max, self.request_bytes * 5 // 4)
        if not more:
            self._round_started = -1.0
            return
        if self._round_started < 0:
            self._begin(now, cpu)
            return
        self._round_bytes += size
        self._round_requests += 1
        if self._round_requests >= ROUND_REQUESTS * self.parallel and now > self._round_started:
            seconds = now - self._round_started
            self._judge(self._round_bytes / seconds, (cpu - self._round_cpu) / seconds)
            self._begin(now, cpu)

    def _begin(self, now: float, cpu: float) -> None:
        self._round_bytes, self._round_requests = 0, 0
        self._round_started, self._round_cpu = now, cpu

    def _judge(self, rate: float, busy: float) -> None:
        """Go one step up as long as that makes it faster, else one back and rest."""
        if busy > BUSY:
            self.parallel = max(1, self.parallel - 1)
            self._rate = 0.0
            return
        if self._rest:
            self._rest -= 1
            return
        if self._rate and rate < GAIN * self._rate:
            self.parallel = max(1, self.parallel - 1)
            self._rate = 0.0
            self._rest = REST_ROUNDS
            return
        if self.parallel < self.parallel_max:
            self._rate = rate
            self.parallel += 1
        else:
            self._rate = 0.0

    def failed(self) -> None:
        """Take note of a time-out or of too many requests: half of everything."""
        self.request_bytes = max(BYTES_MIN, self.request_bytes // 2)
        self.parallel = max(1, self.parallel // 2)
        self._round_started = -1.0
        self._rate = 0.0
        self._rest = 0

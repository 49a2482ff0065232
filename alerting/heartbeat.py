"""The sign of life whose absence pages: it goes out only while samples are fresh and rules run on time.

An alert that always fires proves too little: it fires also when no sample comes in any more.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct

from alerting.metrics import AlertingMetrics
from alerting.receiver.webhook import post
from alerting.rule import Evaluator
from model.clock import Clock, now_ms
from model.errors import DeliveryError

_log = logging.getLogger(__name__)
# written at every scrape of the host, of the tasks and of applications, never by rules
_FRESHNESS: Final = 'time() - max(timestamp({__name__=~"node_load1|task_info|up"}))'


class HeartbeatStatus(Struct, frozen=True):
    """How it stands.

    Attributes:
        healthy: Whether the heartbeat goes out.
        reason: Why it does not, "" if it does.
        checked_ms: When that was found out, 0 for never.
        last_sent_ms: When the last one was delivered, 0 for never or where no address is set.
    """

    healthy: bool = False
    reason: str = "not started"
    checked_ms: int = 0
    last_sent_ms: int = 0


def sample_age(evaluate: Evaluator, clock: Clock) -> Callable[[], float | None]:
    """Return a function that gives the age of the newest sample in seconds, None if there is none.

    What it raises is what ``evaluate`` raises.
    """

    def age() -> float | None:
        found = evaluate(_FRESHNESS, now_ms(clock)).values
        return float(found[0]) if found.shape[0] and not np.isnan(found[0]) else None

    return age


class Heartbeat:
    """Judges every interval and, if all is well, pings an address (if there is one)."""

    def __init__(
        self,
        *,
        sample_age: Callable[[], float | None],
        late: Callable[[], str],
        clock: Clock,
        metrics: AlertingMetrics,
        url: str = "",
        interval_seconds: float = 60.0,
        max_sample_age_seconds: float = 90.0,
    ) -> None:
        """Nothing runs before ``start``.

        Args:
            sample_age: Seconds since the newest sample, None if there is none.
            late: Says which rules do not run on time, "" if all do.
            clock: The time.
            metrics: Of the alert engine.
            url: Where to post; it may hold a secret. "" for the metric and the status only.
            interval_seconds: Time between two heartbeats.
            max_sample_age_seconds: Older newest samples stop the heartbeat.
        """
        self._sample_age = sample_age
        self._late = late
        self._clock = clock
        self._metrics = metrics
        self._url = url
        self._interval_seconds = interval_seconds
        self._max_age_seconds = max_sample_age_seconds
        self._status = HeartbeatStatus()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the first heartbeat is one interval away, so that samples have had time to come."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="alerting-heartbeat", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Beat no more. Safe twice and before start."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None

    def status(self) -> HeartbeatStatus:
        """Return how it stood at the last look."""
        return self._status

    def beat(self) -> None:
        """Look once, and ping if all is well; never raises."""
        reason = self._judge()
        now = now_ms(self._clock)
        if reason != self._status.reason:
            _log.warning("heartbeat stopped: %s", reason) if reason else _log.info(
                "heartbeat goes out"
            )
        self._metrics.heartbeat_healthy.set(0 if reason else 1)
        sent = self._status.last_sent_ms
        if not reason and self._url and self._ping():
            sent = now
            self._metrics.heartbeat_last_sent.set(now / 1000)
        self._status = HeartbeatStatus(not reason, reason, now, sent)

    def _judge(self) -> str:
        try:
            age = self._sample_age()
        except Exception as error:
            return f"samples cannot be read: {error}"
        if age is None:
            return "there are no samples"
        if age > self._max_age_seconds:
            return f"the newest sample is {age:.0f} s old"
        return self._late()

    def _ping(self) -> bool:
        try:
            post(self._url, b'{"status":"alive"}', timeout_seconds=10.0)
        except DeliveryError as error:
            self._metrics.heartbeat_failures.inc()
            _log.warning("heartbeat could not be delivered: the receiver %s", error)
            return False
        return True

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self.beat()

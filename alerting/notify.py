"""Delivers notifications to one receiver: a queue with one place per group, retry, and the log of what was said."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from alerting.metrics import AlertingMetrics
from alerting.notification import Notification, Reason, fingerprint
from alerting.notify_log import Entry, NotifyLog, reason_to_notify
from alerting.receiver.base import Receiver
from model.clock import Clock, now_ms
from model.errors import DeliveryError

_log = logging.getLogger(__name__)
_FIRST_RETRY_SECONDS: Final = 1.0
_LAST_RETRY_SECONDS: Final = 60.0


class _Waiting(Struct):
    notification: Notification
    not_before: float = 0.0
    attempts: int = 0


class Notifier:
    """One receiver's queue and thread; a slow or dead receiver delays no other."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        log: NotifyLog,
        repeat_interval_ms: int,
        clock: Clock,
        metrics: AlertingMetrics,
        enrich: Callable[[Notification], Notification],
    ) -> None:
        self.receiver = receiver
        self._log = log
        self._repeat_interval_ms = repeat_interval_ms
        self._clock = clock
        self._metrics = metrics
        metrics.know_receiver(receiver.name)
        self._enrich = enrich
        self._waiting: dict[str, _Waiting] = {}
        self._condition = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._stopping = False
        name = f"alerting-notify-{self.receiver.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Deliver what can be delivered at once, then end. Safe twice and before start."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None

    def reason(self, notification: Notification) -> Reason | None:
        """Say why the receiver should be told now, or None."""
        return reason_to_notify(
            self._log.get(notification.group_key, self.receiver.name),
            [fingerprint(a.labels) for a in notification.firing],
            [fingerprint(a.labels) for a in notification.resolved],
            now_ms(self._clock),
            self._repeat_interval_ms,
        )

    def submit(self, notification: Notification) -> None:
        """Take a notification; it replaces one of the same group that still waits, and keeps its turn."""
        with self._condition:
            waiting = self._waiting.get(notification.group_key)
            if waiting is None:
                self._waiting[notification.group_key] = _Waiting(notification)
            else:
                waiting.notification = notification
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                item = self._take()
                if item is None:
                    if self._stopping:
                        return
                    self._condition.wait(self._pause())
                    continue
            try:
                self._deliver(item)
            except Exception:
                # a defect of one receiver must not end its thread; the group's next look tries again
                _log.exception("receiver %s failed", self.receiver.name)
                self._metrics.notification_failures.labels(self.receiver.name).inc()

    def _take(self) -> _Waiting | None:
        now = self._clock.monotonic()
        key = next((key for key, item in self._waiting.items() if item.not_before <= now), None)
        return self._waiting.pop(key) if key is not None else None

    def _pause(self) -> float | None:
        if not self._waiting:
            return None
        soonest = min(item.not_before for item in self._waiting.values())
        return min(1.0, max(0.001, soonest - self._clock.monotonic()))

    def _deliver(self, item: _Waiting) -> None:
        receiver, notification = self.receiver, item.notification
        reason = self.reason(notification)
        if reason is None:
            return
        wanted = replace(notification, reason=reason)
        if not receiver.send_resolved:
            wanted = replace(wanted, alerts=notification.firing)
        if wanted.alerts:
            try:
                receiver.send(self._enrich(wanted))
            except DeliveryError as error:
                self._failed(item, error)
                return
            self._metrics.notifications.labels(receiver.name).inc()
        self._said(notification)

    def _said(self, notification: Notification) -> None:
        entry = Entry(
            now_ms(self._clock),
            frozenset(fingerprint(a.labels) for a in notification.firing),
            frozenset(fingerprint(a.labels) for a in notification.resolved),
        )
        try:
            self._log.put(notification.group_key, self.receiver.name, entry)
        except OSError as error:
            self._metrics.state_failures.inc()
            _log.error(
                "the notification log cannot be kept on disk, a restart may repeat pages: %s", error
            )

    def _failed(self, item: _Waiting, error: DeliveryError) -> None:
        self._metrics.notification_failures.labels(self.receiver.name).inc()
        if not error.retryable:
            _log.error("receiver %s %s; not tried again for this change", self.receiver.name, error)
            return
        if item.attempts == 0:
            _log.warning("receiver %s %s; trying again", self.receiver.name, error)
        pause = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0**item.attempts)
        item.attempts += 1
        item.not_before = self._clock.monotonic() + max(pause, error.retry_after_seconds or 0.0)
        with self._condition:
            newer = self._waiting.get(item.notification.group_key)
            if newer is not None:
                item.notification = newer.notification
            self._waiting[item.notification.group_key] = item

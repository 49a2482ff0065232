"""The handler: a bounded queue, and threads that deliver. It never blocks and never raises."""

import logging
import os
import threading
import weakref
from contextlib import suppress
from typing import Any

from taskscope_logging._delivery import Delivery
from taskscope_logging._fields import Fields
from taskscope_logging._outlets import Outlet
from taskscope_logging._queue import Queue
from taskscope_logging._spool import Spool

_handlers: "weakref.WeakSet[Handler]" = weakref.WeakSet()


class Handler(logging.Handler):
    """Queues records for an outlet.

    Args:
        fields: Makes documents of records.
        outlet: Where they go.
        queue_records: The most that wait.
        queue_bytes: The most that wait.
        exit_seconds: How long ``close`` may take.
        spool: Keeps on disk what would have to wait in the queue; None for not at all.
    """

    def __init__(
        self,
        fields: Fields,
        outlet: Outlet,
        *,
        queue_records: int,
        queue_bytes: int,
        exit_seconds: float,
        spool: Spool | None = None,
    ) -> None:
        super().__init__()
        self._fields = fields
        self._outlet = outlet
        self._exit_seconds = exit_seconds
        self._entered = threading.local()
        self._queue = Queue(queue_records, queue_bytes, self._say_dropped)
        self._delivery = Delivery(self._queue, outlet, spool, self._say)
        _handlers.add(self)
        if spool is not None:
            self._delivery.start()  # a process that died may have left something

    @property
    def dropped(self) -> int:
        """Records that were given up, because the queue (and the spool) was full or time was up at the end."""
        return self._queue.dropped

    @property
    def spooled(self) -> int:
        """Records that were written to the spool, by this process."""
        return self._delivery.backlog.spooled

    @property
    def errors(self) -> int:
        """Records that no document could be made of, deliveries that failed, and failures of the spool's disk."""
        return self._delivery.errors

    @property
    def problem(self) -> str:
        """What the last one was; "" once a delivery works."""
        return self._delivery.problem

    # ------------------------------------------------------------ taking

    def handle(self, record: logging.LogRecord) -> Any:
        """Take a record; without the lock of other handlers, since this one waits for nothing."""
        accepted: Any = self.filter(record)  # since 3.12 a filter may return another record
        if accepted:
            self.emit(accepted if isinstance(accepted, logging.LogRecord) else record)
        return accepted

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; whatever goes wrong is counted, and nothing of it is logged."""
        if getattr(self._entered, "now", False):
            self._queue.drop()  # making a text of an argument has logged something
            return
        self._entered.now = True
        try:
            if self._queue.put(self._outlet.pack(self._fields.of(record), record.created)):
                self._delivery.start()
                self._delivery.wake()
        except Exception as error:
            self._delivery.fail(error)
        finally:
            self._entered.now = False

    def _say_dropped(self, lost: int) -> bytes:
        return self._say(f"{lost} log records were dropped: the queue was full", {"log.dropped": lost})  # fmt: skip

    def _say(self, text: str, fields: dict[str, Any] | None = None) -> bytes:
        record = logging.LogRecord(__name__.partition(".")[0], logging.WARNING, "", 0, text, None, None)  # fmt: skip
        record.__dict__.update(fields or {})
        return self._outlet.pack(self._fields.of(record), record.created)

    # ------------------------------------------------------------ the end, and forks

    def flush(self, seconds: float = 0.0) -> bool:  # type: ignore[override]  # logging's takes and returns nothing
        """Wait until everything is delivered; ``logging.shutdown`` calls it without a time, ``close`` does the waiting then."""
        return self._delivery.flush(seconds)

    def close(self) -> None:
        """Deliver what is queued within ``exit_seconds``, spool the rest or count it as dropped; safe twice."""
        if not self._queue.closed:
            self._delivery.close(self._exit_seconds)
        super().close()

    def _forked(self) -> None:
        """Begin anew in a child: what its parent queued is its parent's."""
        with suppress(Exception):
            self._outlet.forget()
        self._queue.begin()
        self._delivery.begin()


def _forked() -> None:
    for handler in list(_handlers):
        handler._forked()  # noqa: SLF001  of the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

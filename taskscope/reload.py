"""Reading the configuration anew, and how that went the last time."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge

from model.catalog import declared
from model.clock import Clock, now_ms, rfc3339
from taskscope.config import TaskscopeConfig, load_config


class Reloadable(Protocol):
    """What takes a new configuration up."""

    def reload(self, config: TaskscopeConfig) -> None:
        """Take up what can be taken up without a restart.

        Raises:
            ConfigError: If it cannot; all stays as it was.
        """
        ...


class Reloader:
    """Reads the configuration for SIGHUP and ``/-/reload``, one at a time.

    Args:
        file: What is read, None if there is no file.
        parts: Take up what they can, in this order; the rest needs a restart.
        clock: Tells the time.
        registry: For self metrics.
    """

    def __init__(
        self,
        file: Path | None,
        parts: tuple[Reloadable, ...],
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._file = file
        self._parts = parts
        self._clock = clock
        self._lock = Lock()
        self._worked = Gauge(
            *declared("taskscope_config_last_reload_successful"), registry=registry
        )
        self._since = Gauge(
            *declared("taskscope_config_last_reload_success_timestamp_seconds"), registry=registry
        )
        self._succeeded = True
        self._loaded_ms = 0
        self._say(succeeded=True)

    def __call__(self) -> None:
        """Read it, and let the parts take it up.

        Raises:
            ConfigError: With every problem of the file or of what it names; all stays as it was.
        """
        with self._lock:
            succeeded = False
            try:
                config = load_config(self._file)
                for part in self._parts:
                    part.reload(config)
                succeeded = True
            finally:
                self._say(succeeded=succeeded)

    def runtime(self) -> Mapping[str, object]:
        """Return what ``/api/v1/status/runtimeinfo`` says of it."""
        return {
            "reloadConfigSuccess": self._succeeded,
            "lastConfigTime": rfc3339(self._loaded_ms),
        }

    def _say(self, *, succeeded: bool) -> None:
        self._succeeded = succeeded
        self._worked.set(succeeded)
        if succeeded:
            self._loaded_ms = now_ms(self._clock)
            self._since.set(self._loaded_ms / 1000)

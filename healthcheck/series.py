"""Health as series: names as in model/catalog/healthcheck.py, the probes' as blackbox_exporter's."""

from typing import Final

from healthcheck.watched import RUNTIME_CHECK
from model.health import Probe, TaskHealth
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.samples import SeriesBlock, no_samples
from model.task import HealthStatus, TaskIdentity

_STATES: Final = tuple(HealthStatus)
_PER_CHECK: Final = ("probe_success", "probe_duration_seconds", "probe_last_timestamp_seconds")


class HealthSeries:
    """The series of one task's health; the label sets stay the same objects while the checks do."""

    def __init__(self, identity: TaskIdentity, health: TaskHealth) -> None:
        self._key = f"health/{identity.task_id}"
        self._identity = identity
        self._checks = _names(health)
        self._ready = health.ready is not None
        base = prometheus_labels(identity)
        names = [
            {METRIC_NAME: "task_health_status", "status": state.value, **base} for state in _STATES
        ]
        if self._ready:
            names.append({METRIC_NAME: "task_ready", **base})
        for check in self._checks:
            names += [{METRIC_NAME: name, "check": check, **base} for name in _PER_CHECK]
        self._labels = tuple(map(Labels.of, names))

    def fits(self, identity: TaskIdentity, health: TaskHealth) -> bool:
        """Whether the label sets still hold."""
        return (
            identity == self._identity
            and self._ready == (health.ready is not None)
            and self._checks == _names(health)
        )

    def block(self, health: TaskHealth) -> SeriesBlock:
        """Return the series now."""
        values = no_samples(len(self._labels))
        values[: len(_STATES)] = [health.status is state for state in _STATES]
        position = len(_STATES)
        if self._ready:
            values[position] = bool(health.ready)
            position += 1
        for result in health.checks:
            if result.at_ms and (result.status is not HealthStatus.STARTING):
                if result.probe is not Probe.ERROR:
                    values[position] = result.probe is Probe.PASS
                if result.check != RUNTIME_CHECK:
                    values[position + 1] = result.duration_seconds
                values[position + 2] = result.at_ms / 1000
            position += len(_PER_CHECK)
        return SeriesBlock(self._key, self._labels, values)


def _names(health: TaskHealth) -> tuple[str, ...]:
    return tuple(result.check for result in health.checks)

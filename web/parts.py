"""What stands behind the HTTP server; the composition root fills it, tests fill it with fakes.

A part that a process does not have (an ``agent`` has no stores) is None; its endpoints then
answer 404 with a sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from model.alert import Alert
from model.clock import Clock
from model.health import HealthSource
from model.labels import Matcher
from model.task import TaskSource
from promql.engine import Engine
from storage.interface import LogReader, Queryable, Written

if TYPE_CHECKING:  # only the shapes are needed; the alert engine itself would be imported with them
    from alerting.view import GroupView


class Parts(Struct, frozen=True):
    """Everything the endpoints ask.

    Attributes:
        clock: Tells the time of queries that name none.
        version: Taskscope's version.
        exposition: Returns ``/metrics`` in the text format 0.0.4.
        status: Returns what ``/api/status`` and the status page show, all of it optional: kind,
            listen, cluster, host, data_dir; sources and sinks, each with name, ok, message (and
            counts); streams, logs; problems and rule_problems, as sentences; tsdb, its figures.
        oldest_ms: Returns when the oldest sample was taken, None if there is none yet.
        ready: Whether requests can be answered; ``/-/ready`` says so.
        reload: Reads the configuration anew; raises ConfigError.
        tasks: Which tasks there are.
        health: Their health.
        queryable: The series.
        engine: Evaluates PromQL.
        logs: The log records.
        series_at_most: Returns what the number of series with samples between two times (ms) does
            not exceed, at once; None where that cannot be had.
        rules: The rule groups and the alerts.
        exemplars: Returns the exemplars of the series that pass one of the matcher sets
            (``storage.interface.ExemplarQueryable``); None if there are none.
        cardinality: Counts where series come from, so many rows of each kind
            (``storage.tsdb.stats.Cardinality``).
        delete_series: Deletes the samples of the series that pass one of the matcher sets, from
            one time to another (ms).
        clean_tombstones: Gives back the disk space of what was deleted.
        config_yaml: Returns the configuration in force, without secrets.
        flags: Returns options by the names of Prometheus's flags.
        runtime: Returns those fields of ``/api/v1/status/runtimeinfo`` that are known here.
        targets: Returns ``activeTargets`` and ``droppedTargets`` with Prometheus's fields.
        remote_write: Takes the body of a remote write request (snappy, protobuf) and the protocol's
            version (1 or 2), says what was written once it is durable. Raises BadWriteError (or
            another ValueError) if it, or a part of it, is wrong, StorageError if it cannot be stored.
        otlp_metrics: Takes an OTLP metrics request, and whether it is JSON, returns the response in
            the same form. Raises as above.
        ingest_logs: Takes an agent's log batches, returns what became of each. Raises as above.
        ingest_state: Takes an agent's tasks and their health. Raises ValueError.
        allowed_hosts: Names beside the loopback ones that the Host header may carry.
    """

    clock: Clock
    version: str
    exposition: Callable[[], bytes]
    status: Callable[[], Mapping[str, Any]]
    oldest_ms: Callable[[], int | None] = lambda: None
    ready: Callable[[], bool] = lambda: True
    reload: Callable[[], None] | None = None
    tasks: TaskSource | None = None
    health: HealthSource | None = None
    queryable: Queryable | None = None
    engine: Engine | None = None
    logs: LogReader | None = None
    series_at_most: Callable[[int, int], int] | None = None
    rules: "Rules | None" = None
    exemplars: Callable[[Sequence[Sequence[Matcher]], int, int], Sequence[Any]] | None = None
    cardinality: Callable[[int], Any] | None = None
    delete_series: Callable[[Sequence[Sequence[Matcher]], int, int], None] | None = None
    clean_tombstones: Callable[[], None] | None = None
    config_yaml: Callable[[], str] | None = None
    flags: Callable[[], Mapping[str, str]] = dict
    runtime: Callable[[], Mapping[str, Any]] = dict
    targets: Callable[[], Mapping[str, Any]] | None = None
    remote_write: Callable[[bytes, int], Written] | None = None
    otlp_metrics: Callable[[bytes, bool], bytes] | None = None
    ingest_logs: Callable[[bytes], bytes] | None = None
    ingest_state: Callable[[bytes], None] | None = None
    allowed_hosts: tuple[str, ...] = ()


class Rules(Protocol):
    """The rule groups and their alerts; ``alerting.manager.RuleManager`` is one."""

    def groups(self) -> Sequence["GroupView"]:
        """Return the groups as they are now."""
        ...

    def alerts(self) -> Sequence[Alert]:
        """Return the pending and firing alerts."""
        ...

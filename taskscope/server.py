"""The server half: the stores, the engine, rules and notifications.

``taskscope up`` has it in the process of the agent; ``taskscope server`` takes what agents send.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from msgspec.structs import asdict
from prometheus_client import CollectorRegistry

from alerting.dispatcher import Dispatcher
from alerting.evidence import EvidenceFinder
from alerting.heartbeat import Heartbeat, sample_age
from alerting.loading import load_groups
from alerting.manager import RuleManager
from alerting.metrics import AlertingMetrics
from alerting.query import engine_evaluator, parse
from alerting.receiver.registry import make_receivers
from alerting.rule import RuleGroup
from logship.config import ElasticsearchSinkConfig
from model.clock import Clock
from model.errors import ConfigError
from model.task import TaskSource
from promql.engine import Engine, Limits
from storage.interface import LogReader, Queryable
from storage.logdb.logdb import LogDb
from storage.tsdb.db import Tsdb
from taskscope.config import TaskscopeConfig


class Server:
    """Everything that may run away from the tasks' host.

    Args:
        config: Its sections are turned into plain arguments here.
        tasks: Whose ends and healths the notifications speak of.
        clock: The time.
        registry: Where every part counts.
        write_line: Where the console receiver writes.
    """

    def __init__(
        self,
        config: TaskscopeConfig,
        tasks: TaskSource,
        clock: Clock,
        registry: CollectorRegistry,
        write_line: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
    ) -> None:
        data = config.data_path()
        self.config = config
        self.engine = Engine(
            Limits(config.query.max_samples, round(config.query.lookback_delta * 1000))
        )
        self.tsdb = Tsdb(data / "tsdb", config.storage.tsdb_settings(), clock, registry)
        embedded = any(sink.type == "embedded" for sink in config.logship.sinks)
        self.logdb = (
            LogDb(data / "logdb", config.logdb.settings(), clock, registry) if embedded else None
        )
        self.logs: LogReader = self.logdb or _elasticsearch_reader(config)
        alerting, metrics = config.alerting, AlertingMetrics(registry)
        self.queryable: Queryable = self.tsdb
        self.series_at_most: Callable[[int, int], int] | None = self.tsdb.series_at_most
        if config.remote_read:
            self.series_at_most = None
            from taskscope.remote import make_reader

            self.queryable = make_reader(config.remote_read[0], config.base)
        evaluate = engine_evaluator(self.engine, self.queryable)
        self.external_url = alerting.external_url or f"http://{config.listen}"
        self.dispatcher = Dispatcher(
            make_receivers(alerting.receivers, write_line),
            state_dir=data / "alerting",
            clock=clock,
            metrics=metrics,
            group_by=alerting.group_by,
            group_wait_seconds=alerting.group_wait_seconds,
            group_interval_seconds=alerting.group_interval_seconds,
            repeat_interval_seconds=alerting.repeat_interval_seconds,
            external_url=self.external_url,
            enrich=EvidenceFinder(
                self.logs, tasks, clock=clock, metrics=metrics, external_url=self.external_url
            ).enrich,
        )
        self.rules = RuleManager(
            self._load_rules,
            evaluate=evaluate,
            appender=self.tsdb,
            send=self.dispatcher.put,
            state_dir=data / "alerting",
            clock=clock,
            metrics=metrics,
            external_url=self.external_url,
            generator_url=lambda expr: f"{self.external_url}/query?{urlencode({'expr': expr})}",
        )
        self.heartbeat = Heartbeat(
            sample_age=sample_age(evaluate, clock),
            late=self.rules.late,
            clock=clock,
            metrics=metrics,
            url=alerting.heartbeat.url.get_secret_value() if alerting.heartbeat.url else "",
            interval_seconds=alerting.heartbeat.interval_seconds,
            max_sample_age_seconds=alerting.heartbeat.max_sample_age_seconds,
        )

    def _load_rules(self) -> Sequence[RuleGroup]:
        return load_groups(
            self.config.rule_paths(), parse, self.config.alerting.evaluation_interval_seconds
        )

    def reload(self, config: TaskscopeConfig) -> None:
        """Take up the rules of a configuration.

        Raises:
            ConfigError: If its rule files have problems; the rules stay as they are.
        """
        before = self.config
        # what the command line said, and what needs a restart, stays
        taken = {"alerting": config.alerting, "collector": config.collector}
        self.config = before.model_copy(update=taken)
        try:
            self.rules.reload()
        except ConfigError:
            self.config = before
            raise

    def start(self) -> None:
        """Open the stores, then notify, then evaluate."""
        self.tsdb.start()
        if self.logdb is not None:
            self.logdb.start()
        for part in (self.dispatcher, self.rules, self.heartbeat):
            part.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop in the other order; the stores last."""
        for part in (self.heartbeat, self.rules, self.dispatcher):
            part.stop(timeout_seconds)
        if self.logdb is not None:
            self.logdb.stop(timeout_seconds)
        self.tsdb.stop(timeout_seconds)

    def status(self) -> Mapping[str, Any]:
        """Say how the stores and the rules are doing."""
        groups = self.rules.groups()
        broken = [f"rule {r.name}: {r.last_error}" for g in groups for r in g.rules if r.last_error]
        return {
            "tsdb": asdict(self.tsdb.stats()),
            "logs": "embedded" if self.logdb is not None else "elasticsearch",
            "rules": sum(len(g.rules) for g in groups),
            "rule_problems": broken,
        }


def _elasticsearch_reader(config: TaskscopeConfig) -> LogReader:
    from logship.reader.elasticsearch import ElasticsearchLogReader
    from taskscope.elasticsearch import connection_of

    sink = next(s for s in config.logship.sinks if isinstance(s, ElasticsearchSinkConfig))
    return ElasticsearchLogReader(connection_of(sink, config), indices=f"logs-*-{sink.namespace}")

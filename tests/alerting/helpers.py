"""Small stand-ins for what the alert engine needs from outside."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from alerting.alert_store import AlertStore
from alerting.alerting_rule import TemplateContext
from alerting.group import GroupRun, Surroundings
from alerting.metrics import AlertingMetrics
from alerting.rule import AlertingRule, RuleGroup, Vector
from alerting.rule_file import TEMPLATE_VARIABLES
from alerting.template import parse
from model.alert import Alert
from model.labels import Labels, LabelTable
from tests.fakes.store import MemoryStore

T0 = 1_767_225_600_000  # where the fake clock starts


def vector(*rows: tuple[dict[str, str], float]) -> Vector:
    """Make a vector of label sets and values."""
    table = LabelTable.from_labels([labels for labels, _ in rows])
    return Vector(table, np.array([value for _, value in rows], dtype=np.float64))


def words(text: str) -> Vector:
    """Make a vector of series named by one label each: ``a b`` is {x="a"} 1, {x="b"} 1."""
    return vector(*[({"__name__": "m", "x": word}, 1.0) for word in text.split()])


def alerting_rule(
    name: str = "Broken",
    *,
    for_seconds: float = 0,
    keep_seconds: float = 0,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> AlertingRule:
    """Make a rule whose expression is its name."""
    return AlertingRule(
        name,
        name,
        int(for_seconds * 1000),
        int(keep_seconds * 1000),
        tuple((n, parse(t, TEMPLATE_VARIABLES)) for n, t in (labels or {}).items()),
        tuple((n, parse(t, TEMPLATE_VARIABLES)) for n, t in (annotations or {}).items()),
    )


class Answers:
    """An evaluator that answers from a dict; an exception in it is raised."""

    def __init__(self) -> None:
        self.by_expr: dict[str, Vector | Exception] = {}
        self.asked: list[tuple[str, int]] = []

    def __call__(self, expr: str, ts_ms: int) -> Vector:
        self.asked.append((expr, ts_ms))
        answer = self.by_expr.get(expr, vector())
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bench:
    """A group on a virtual clock: everything around it is at hand."""

    def __init__(self, directory: Path, *rules: AlertingRule, interval_seconds: float = 15) -> None:
        self.answers = Answers()
        self.store = MemoryStore()
        self.sent: list[Alert] = []
        self.registry = CollectorRegistry()
        self.alert_store = AlertStore(directory)
        self.alert_store.open()
        self.around = Surroundings(
            evaluate=self.answers,
            appender=self.store,
            store=self.alert_store,
            send=self._send,
            monotonic=lambda: 0.0,
            metrics=AlertingMetrics(self.registry),
            context=TemplateContext(),
            resend_delay_ms=60_000,
            generator_url=lambda expr: "",
        )
        self.group = RuleGroup("g", "rules.yml", int(interval_seconds * 1000), rules)
        self.run = GroupRun(self.group, self.around)

    def _send(self, alerts: Sequence[Alert]) -> None:
        self.sent.extend(alerts)

    def evaluate(self, seconds: float) -> list[Alert]:
        """Evaluate at T0 plus some seconds; return what was sent then."""
        before = len(self.sent)
        self.run.evaluate(T0 + int(seconds * 1000))
        return self.sent[before:]

    def alerts(self) -> dict[Labels, Alert]:
        """Return all alerts of the first rule."""
        return dict(self.run.rules[0].alerts)

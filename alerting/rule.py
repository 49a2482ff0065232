"""Rules and groups as the engine works with them: judged, with every template parsed."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from alerting.template import Template
from model.labels import LabelTable


class Vector(Struct, frozen=True):
    """What an expression gave at one moment.

    Attributes:
        labels: n label sets.
        values: float64, shape (n,).
    """

    labels: LabelTable
    values: npt.NDArray[np.float64]


class Evaluator(Protocol):
    """Answers an instant query."""

    def __call__(self, expr: str, ts_ms: int) -> Vector:
        """Return the expression's value at a time; a scalar is one row without labels.

        Raises:
            QueryError: If it cannot be evaluated.
            StorageError: If the store cannot be read.
        """
        ...


# Parses an expression; raises ``model.errors.ParseError`` with the position.
ExpressionParser = Callable[[str], object]


class RecordingRule(Struct, frozen=True):
    """Stores the value of an expression under a name of its own.

    Attributes:
        name: The metric written.
        expr: The expression.
        labels: Added to or replaced in each result; an empty value removes the label.
    """

    name: str
    expr: str
    labels: tuple[tuple[str, str], ...] = ()


class AlertingRule(Struct, frozen=True):
    """Raises an alert for each result of an expression.

    Attributes:
        name: The ``alertname``.
        expr: The expression.
        for_ms: How long the expression must hold before the alert fires.
        keep_firing_for_ms: How long it goes on firing after the expression stopped holding.
        labels: Templates by label name.
        annotations: Templates by annotation name.
    """

    name: str
    expr: str
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: tuple[tuple[str, Template], ...] = ()
    annotations: tuple[tuple[str, Template], ...] = ()


Rule = RecordingRule | AlertingRule


class RuleGroup(Struct, frozen=True):
    """Rules that are evaluated together, in order, at one time.

    Attributes:
        name: Unique within its file.
        file: Where it was read from.
        interval_ms: Time between evaluations.
        rules: In the order of evaluation; later ones see what earlier ones wrote.
        limit: Most results or alerts a rule may have, 0 for any number.
        query_offset_ms: How far behind the evaluation's time the expressions look.
    """

    name: str
    file: str
    interval_ms: int
    rules: tuple[Rule, ...]
    limit: int = 0
    query_offset_ms: int = 0

    @property
    def key(self) -> str:
        """Name that is unique among all groups; Prometheus's ``rule_group`` label."""
        return f"{self.file};{self.name}"

"""The engine as rules use it: the only module here that knows promql."""

import time

import numpy as np

from alerting.rule import Evaluator, Vector
from model.errors import QueryError
from model.labels import LabelTable
from model.samples import is_no_sample
from promql import result
from promql.engine import Engine
from promql.parser import parse
from storage.interface import Queryable

__all__ = ["engine_evaluator", "parse"]


def engine_evaluator(
    engine: Engine, queryable: Queryable, timeout_seconds: float = 30.0
) -> Evaluator:
    """Return an evaluator that asks the embedded engine.

    A query that takes longer than ``timeout_seconds`` is cancelled (QueryLimitError), so that a
    rule that is too expensive fails instead of running for ever.
    """

    def evaluate(expr: str, ts_ms: int) -> Vector:
        deadline = time.monotonic() + timeout_seconds
        answer = engine.instant(
            queryable, expr, ts_ms, cancelled=lambda: time.monotonic() > deadline
        )
        return to_vector(answer)

    return evaluate


def to_vector(answer: result.Result) -> Vector:
    """Return an instant query's answer as rules need it; histograms are left out.

    Raises:
        QueryError: If it is a string or a range vector.
    """
    value = answer.value
    if isinstance(value, result.Scalar):
        return Vector(LabelTable(1, {}), np.asarray(value.values[:1], dtype=np.float64))
    if not isinstance(value, result.Vector):
        raise QueryError("rule result is not a vector or scalar")
    floats = np.flatnonzero(~is_no_sample(value.values))
    if len(floats) == value.labels.size:
        return Vector(value.labels, value.values)
    return Vector(value.labels.take(floats), value.values[floats])

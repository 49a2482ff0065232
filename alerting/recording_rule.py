"""Recording rules: the labels of what an expression gave become those of the new metric."""

import numpy as np

from alerting.alerting_rule import RuleError
from alerting.rule import RecordingRule, Vector
from model.labels import METRIC_NAME, LabelColumn, Labels, LabelTable


def relabel(rule: RecordingRule, vector: Vector, limit: int = 0) -> list[Labels]:
    """Return the label sets under which the vector's values are stored, shape (n,).

    Raises:
        RuleError: If two results have the same labels, or there are more than ``limit``.
    """
    table = _replaced(vector.labels, (METRIC_NAME, rule.name))
    for pair in rule.labels:
        table = _replaced(table, pair)
    rows = table.rows()
    if len(set(rows)) < len(rows):
        raise RuleError("vector contains metrics with the same labelset after applying rule labels")
    if limit and len(rows) > limit:
        raise RuleError(f"exceeded limit of {limit} with {len(rows)} series")
    return rows


def _replaced(table: LabelTable, pair: tuple[str, str]) -> LabelTable:
    name, value = pair
    if not value:
        return table.drop([name])
    return table.with_column(name, LabelColumn(np.ones(table.size, dtype=np.int32), ("", value)))

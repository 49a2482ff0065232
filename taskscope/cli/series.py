"""Series of a query's answer as a table that people can read: few columns, short ids, few digits."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from taskscope.cli import output

Series = Mapping[str, Any]
Table = tuple[list[str], list[list[str]]]

_IDS = ("container_id", "task_id", "container_name")
_LONG_ID = re.compile(r"[0-9a-f]{32,}")
_SHORT = 12
_MOST_COLUMNS = 8  # a range of more series than this is written one below the other


def instant_table(result: Sequence[Series]) -> Table:
    """Return header and rows of a vector: the labels that tell its series apart, and the value."""
    names = telling_labels(result)
    rows = [
        [*(_label(s, name) for name in names), value_text(s["value"][1], _name(s))] for s in result
    ]
    return [*map(_heading, names), "VALUE"], rows


def range_table(result: Sequence[Series]) -> Table:
    """Return header and rows of a matrix: a row for each time, a column for each series if they are few."""
    names = telling_labels(result)
    if len(result) > _MOST_COLUMNS:
        rows = [
            [_time(t), *(_label(s, name) for name in names), value_text(v, _name(s))]
            for s in result
            for t, v in s["values"]
        ]
        return ["TIME", *map(_heading, names), "VALUE"], rows
    heads = [" ".join(_label(s, n) for n in names if s["metric"].get(n)) or "VALUE" for s in result]
    columns = [{t: value_text(v, _name(s)) for t, v in s["values"]} for s in result]
    times = sorted({t for column in columns for t in column})
    return ["TIME", *heads], [[_time(t), *(c.get(t, "") for c in columns)] for t in times]


def full_table(result: Sequence[Series]) -> Table:
    """Return every label, time (RFC 3339) and value as they are, for programs that read them."""
    names = list(dict.fromkeys(name for series in result for name in series["metric"]))
    rows = []
    for series in result:
        points = [series["value"]] if "value" in series else series["values"]
        labels = [series["metric"].get(name, "") for name in names]
        rows += [[*labels, datetime.fromtimestamp(t, UTC).isoformat(), v] for t, v in points]
    return [*names, "TIME", "VALUE"], rows


def telling_labels(result: Sequence[Series]) -> list[str]:
    """Return the labels that differ, without ids where the series are told apart by names."""
    names = list(dict.fromkeys(name for series in result for name in series["metric"]))
    if len(result) == 1:
        named = "task_name" in names
        telling = [n for n in names if n != "__name__" and not (named and n in _IDS)]
    else:
        telling = [n for n in names if len({s["metric"].get(n, "") for s in result}) > 1]
    for name in _IDS if len(result) > 1 else ():
        rest = [n for n in telling if n != name]
        if rest and len({tuple(s["metric"].get(n, "") for n in rest) for s in result}) == len(
            result
        ):
            telling = rest
    # who it is first, then what sets its series apart
    order = {
        n: i for i, n in enumerate(("__name__", "cluster", "host", "namespace", "app", "task_name"))
    }
    return sorted(telling, key=lambda n: order.get(n, len(order)))


def value_text(value: str, name: str = "") -> str:
    """Write a value with the digits that count; a size if its metric's name says that it is one."""
    number = float(value)
    if not math.isfinite(number):
        return value
    if name.endswith("_bytes"):
        return output.bytes_text(number)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.4g}"


def _name(series: Series) -> str:
    return str(series["metric"].get("__name__", ""))


def _heading(name: str) -> str:
    return "METRIC" if name == "__name__" else name.upper()


def _label(series: Series, name: str) -> str:
    metric = series["metric"]
    # who has no name is called by its id
    value = output.clean(
        metric.get(name) or (metric.get("task_id", "") if name == "task_name" else "")
    )
    return value[:_SHORT] if _LONG_ID.fullmatch(value) else value


def _time(seconds: float) -> str:
    return output.moment_text(seconds * 1000)

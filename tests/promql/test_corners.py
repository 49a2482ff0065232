"""Rules of the language that queries beside a real Prometheus brought to light."""

import math

import pytest

from model.errors import QueryError
from promql.engine import Engine
from promql.result import Result
from tests.promql.columns import ColumnStore
from tests.promql.promqltest import answer
from tests.promql.script import load

DATA = [
    "load 10s",
    'one{a="x"} 1 2 3 4 5 6 7',
    'two{a="x"} 2+2x6',
]


def ask(query: str, at_ms: int = 60_000, lines: list[str] | None = None) -> Result:
    """Evaluate at an instant."""
    store = ColumnStore()
    load(store, lines or DATA)
    return Engine().instant(store, query, at_ms)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("1 </ 2", 'operator "</" not allowed for Scalar operations'),
        ("1 >/ time()", 'operator ">/" not allowed for Scalar operations'),
        (
            "double_exponential_smoothing(one[1m], 0.5, Inf)",
            "invalid trend factor. Expected: 0 < tf < 1, got: +Inf",
        ),
        (
            "double_exponential_smoothing(one[1m], 2, 0.5)",
            "invalid smoothing factor. Expected: 0 < sf < 1, got: 2.000000",
        ),
        ("one @ -Inf", "1:1: parse error: timestamp out of bounds for @ modifier: -Inf"),
        (
            "one offset (10s) / two",
            '1:20: parse error: unexpected identifier "two" in offset, expected number, duration, step(), or range()',
        ),
    ],
)
def test_errors_are_worded_as_prometheus_does(query: str, message: str) -> None:
    """Numbers in Go's forms; which operators go on with an offset's duration."""
    with pytest.raises(QueryError) as caught:
        ask(query)

    assert str(caught.value) == message


def test_nan_is_a_factor_like_any_other() -> None:
    """Only factors known to be outside are refused."""
    [(_, points)] = answer(ask("double_exponential_smoothing(one[1m], 0.5, NaN)"))

    assert math.isnan(points[60_000])  # type: ignore[arg-type]  # a float


def test_operators_behind_an_offset_in_parentheses_belong_to_it() -> None:
    """``offset (10s) + 10`` are twenty seconds; behind a plain number the operator is the vector's."""
    [(_, points)] = answer(ask("one offset (10s) + 10"))
    [(_, plain)] = answer(ask("one offset 10s + 10"))

    assert (points[60_000], plain[60_000]) == (5.0, 16.0)

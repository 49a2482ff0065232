"""Rules of the language that answers of a real Prometheus brought to light."""

import math

import pytest

from model.errors import ParseError, QueryError
from promql.engine import Engine
from promql.parser import parse
from promql.result import Result
from tests.promql.columns import ColumnStore
from tests.promql.promqltest import answer
from tests.promql.script import load
from tests.promql.sending import requests_of
from tests.promql.served import InProcess

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


def test_offsets_may_have_more_than_one_sign() -> None:
    """With two the operators behind belong to the duration; out of range is said of the sign."""
    [(_, points)] = answer(ask("one offset --10s + 10"))
    with pytest.raises(ParseError) as caught:
        parse("one offset -Inf")

    assert points[60_000] == 5.0
    assert str(caught.value) == "1:12: parse error: duration out of range"


def test_the_first_series_too_many_is_named() -> None:
    """Of several groups with two series, the one that is complete first, at the first such step."""
    lines = ["load 10s", 'm{g="a",i="1"} _x4 1x2', 'm{g="b",i="1"} 1x6', 'm{g="b",i="2"} 1x6']
    lines += ['m{g="a",i="2"} _x4 1x2']
    store = ColumnStore()
    load(store, lines)
    with pytest.raises(QueryError, match=r"match group \{g=\"b\"\} on the right"):
        Engine().range(store, "m + on(g) m", 0, 60_000, 10_000)


def test_integrals_end_where_their_window_does() -> None:
    """An infinite sample behind the window is none of it."""
    store = ColumnStore()
    load(store, ["load 10s", "m 1 1 1 Inf 1 1"])
    [(_, points)] = answer(Engine().range(store, "integral(m[25s])", 20_000, 30_000, 10_000))

    assert points == {20_000: 20.0, 30_000: math.inf}


def test_a_window_of_counts_knows_the_sample_before_it() -> None:
    """The store is asked for more, so that the first histogram has its hint."""
    lines = [
        "load 10s", f"h{{l='a'}} {BUCKETS}+{BUCKETS}x3 {BUCKETS}+{BUCKETS}x3"
    ]  # fmt: skip
    server = InProcess()
    try:
        server.fresh()
        store = ColumnStore()
        load(store, lines)
        for body, version in requests_of(store):
            server.write(body, version)
        warned = [
            bool(
                server.query(f"histogram_count(sum_over_time(h[{length}]))", at)[1].get("warnings")
            )
            for length, at in (("15s", 40_000), ("15s", 50_000), ("25s", 50_000))
        ]
    finally:
        server.stop()

    # not reset and reset; reset, but the first; not reset, reset, not reset
    assert warned == [True, False, True]


def test_durations_that_cannot_be_are_parse_errors() -> None:
    """They are refused before the query runs, at offsets that leave parentheses out."""
    with pytest.raises(ParseError) as caught:
        ask("sum_over_time(one[(30s - 20s) * 0])")

    assert str(caught.value) == "19:33: duration must be greater than 0"


def test_a_text_without_an_expression_has_a_position_if_it_has_anything() -> None:
    """A comment is something."""
    texts = []
    for text in ("", "# nothing"):
        with pytest.raises(ParseError) as caught:
            parse(text)
        texts.append(str(caught.value))

    assert texts == [
        "unknown position: parse error: no expression found in input",
        "1:1: parse error: no expression found in input",
    ]


def test_a_quantile_beyond_all_of_one_value_is_infinite() -> None:
    """Infinity times no distance is no place in the window."""
    [(_, points)] = answer(ask("quantile_over_time(Inf, one[5s])"))

    assert points == {60_000: math.inf}


def test_large_parameters_are_shown_as_they_are() -> None:
    """A number of series has 63 bits."""
    with pytest.raises(QueryError, match=r"^Scalar value 1e\+300 overflows int64$"):
        ask("topk(1e300, one)")


@pytest.mark.parametrize(
    ("query", "warnings"),
    [
        ("limit_ratio(time(), one)", ["ratio value should be between -1 and 1, got 60, capping to 1 (1:13)"]),
        ("quantile(time(), one)", ["quantile value should be between 0 and 1, got 60 (1:10)"]),
    ],
)  # fmt: skip
def test_of_parameters_out_of_bounds_the_worst_is_named(query: str, warnings: list[str]) -> None:
    """Not every step's own, and not both ends if one side only is left."""
    store = ColumnStore()
    load(store, DATA)
    result = Engine().range(store, query, 40_000, 60_000, 10_000)

    assert list(result.warnings) == [f"PromQL warning: {text}" for text in warnings]


def test_a_range_of_one_step_has_no_step() -> None:
    """``step()`` is 0 where the query begins and ends at once; durations keep the step they were given."""
    store = ColumnStore()
    load(store, DATA)
    engine = Engine()
    [(_, alone)] = answer(engine.range(store, "step()", 60_000, 60_000, 10_000))
    [(_, counted)] = answer(engine.range(store, "count_over_time(one[2 * step()])", 60_000, 60_000, 10_000))  # fmt: skip

    assert (alone, counted) == ({60_000: 0.0}, {60_000: 2.0})


def test_buckets_are_mended_once_for_all_quantiles() -> None:
    """The info counts histograms, not quantiles."""
    lines = ["load 10s", 'b_bucket{le="1"} 5x6', 'b_bucket{le="2"} 4x6', 'b_bucket{le="+Inf"} 6x6']
    result = ask('histogram_quantiles(b_bucket, "q", 0.1, 0.5, 0.9)', lines=lines)

    assert ["over 1 samples" in text for text in result.infos] == [True]


BUCKETS = "{{schema:0 count:4 sum:3 z_bucket:1 buckets:[1 1 1]}}"


@pytest.mark.parametrize(
    ("query", "warns"),
    [
        ("sum_over_time(h[1m])", False),
        ("sum(h)", False),
        ("histogram_count(sum_over_time(h[1m]))", True),
        ("histogram_avg(sum(h @ 40))", True),
        ("histogram_count(sum_over_time(h[1m:10s]))", False),
        ("histogram_quantile(0.5, sum_over_time(h[1m]))", False),
        ("histogram_count(sum_over_time(h[1m]) </ 5) + 1", False),
    ],
)
def test_resets_of_histograms_are_told_only_where_no_buckets_are_needed(
    query: str, warns: bool
) -> None:
    """Prometheus's chunks do not say that a histogram began anew; reading counts only finds it out."""
    lines = ["load 10s", f"h{{l='a'}} {BUCKETS}+{BUCKETS}x3 {BUCKETS}+{BUCKETS}x3"]
    lines.append(f"h{{l='b'}} {BUCKETS}+{BUCKETS}x7")
    result = ask(query, lines=lines)

    text = "PromQL warning: conflicting counter resets during histogram aggregation"
    assert any(text in one for one in result.warnings) is warns


def test_labels_in_errors_are_quoted_where_they_must_be() -> None:
    """Names beyond letters, digits and ``_`` stand in quotes."""
    lines = ["load 10s", '{"é.x"="1", __name__="one"} 1x6', '{"é.x"="2", __name__="one"} 1x6']
    with pytest.raises(QueryError, match=r'\[\{__name__="one", "é.x"="1"\}, '):
        ask("vector(1) + on() one", lines=lines)

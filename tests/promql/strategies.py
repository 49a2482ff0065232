"""Random queries over the series of ``test_against_prometheus``, of every kind there is for floats."""

from hypothesis import strategies as st

_NAMES = st.sampled_from(["c_total", "g", "d", "h_bucket"])
_MATCHERS = st.sampled_from(["", '{job="a"}', '{job!="b"}', '{job=~"a|c"}', '{instance=""}'])
_SHIFTS = st.sampled_from(
    ["", "", "", " offset 1m", " offset -2m", " @ start()", " @ 1700000300", " @ end() offset 90s"]
)
_RANGES = st.sampled_from(
    ["1m", "2m", "5m", "90s", "10m", "61s", "step() + 2m", "max_of(2m, step())"]
)
_NUMBERS = st.sampled_from(
    ["0", "1", "2", "-1", "0.5", "1e3", "NaN", "Inf", "0x1F", "5m", "time()"]
)
_OF_VECTORS = st.sampled_from(
    [
        "abs",
        "ceil",
        "sgn",
        "exp",
        "ln",
        "sqrt",
        "hour",
        "minute",
        "day_of_year",
        "days_in_month",
        "timestamp",
        "sort",
        "absent",
    ]
)
_OF_RANGES = st.sampled_from(
    [
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "deriv",
        "changes",
        "resets",
        "avg_over_time",
        "sum_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "stddev_over_time",
        "last_over_time",
        "first_over_time",
        "absent_over_time",
        "mad_over_time",
        "ts_of_max_over_time",
        "integral",
    ]
)
_EXTENDED = st.sampled_from(["rate", "increase", "delta"])
_AGGREGATIONS = st.sampled_from(
    [
        "sum (",
        "avg (",
        "min (",
        "count (",
        "stddev (",
        "topk (2, ",
        "bottomk (1, ",
        "quantile (0.9, ",
    ]
)
_GROUPINGS = st.sampled_from(["", "by (job)", "without (instance)", "by ()", "by (job, le)"])
_OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "%", "^", "atan2", "==", "> bool", "<=", "and", "or", "unless"]
)
_MATCHINGS = st.sampled_from(
    ["", "", "on (job) ", "ignoring (instance, x) ", "on (job, instance) "]
)


@st.composite
def queries(draw: st.DrawFn, depth: int = 2) -> str:
    """Draw the text of an instant vector."""
    if depth == 0:
        return draw(_selectors())
    inner = draw(queries(depth - 1))
    kind = draw(st.integers(0, 9))
    if kind <= 2:
        return f"{draw(_OF_RANGES)}({draw(_ranges(inner))})"
    if kind == 3:
        word = draw(st.sampled_from([" anchored", " smoothed"]))
        selector = f"{draw(_NAMES)}[{draw(_RANGES)}]{word}{draw(_SHIFTS)}"
        return f"{draw(_EXTENDED)}({selector})"
    if kind == 4:
        return f"{draw(_OF_VECTORS)}({inner})"
    if kind == 5:
        head, clause = draw(_AGGREGATIONS), draw(_GROUPINGS)
        return f"{head.replace('(', f'{clause} (')}{inner})"
    if kind == 6:
        return f"({inner}) {draw(_OPERATORS.filter(_on_scalars))} {draw(_NUMBERS)}"
    if kind == 7:
        quantile = draw(st.sampled_from(["0.5", "0.9", "1.5"]))
        return f"histogram_quantile({quantile}, rate(h_bucket[{draw(_RANGES)}]))"
    if kind == 8:
        return f'label_replace({inner}, "new", "$1-x", "job", "(a|b).*")'
    return f"({inner}) {draw(_OPERATORS)} {draw(_MATCHINGS)}({draw(queries(depth - 1))})"


def _on_scalars(operator: str) -> bool:
    return operator not in ("and", "or", "unless")


@st.composite
def _selectors(draw: st.DrawFn) -> str:
    return f"{draw(_NAMES)}{draw(_MATCHERS)}{draw(_SHIFTS)}"


@st.composite
def _ranges(draw: st.DrawFn, inner: str) -> str:
    if draw(st.booleans()):
        return f"{draw(_NAMES)}{draw(_MATCHERS)}[{draw(_RANGES)}]{draw(_SHIFTS)}"
    step = draw(st.sampled_from(["", "30s", "1m"]))
    return f"({inner})[{draw(_RANGES)}:{step}]{draw(_SHIFTS)}"

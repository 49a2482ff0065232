"""Every function, aggregation and operator with every kind of argument, as queries over one set of samples."""

import random
from collections.abc import Iterator
from itertools import product

from promql import functions
from promql.ast import ValueType
from promql.functions.table import FUNCTIONS, Function

assert functions.__all__, "the table of functions is filled"

EXPONENTIAL = (
    "{{schema:0 count:10 sum:20 z_bucket:2 z_bucket_w:0.1 buckets:[1 2 3] n_buckets:[1 1]}}"
)
FINER = "{{schema:2 count:12 sum:14 z_bucket:3 z_bucket_w:0.01 buckets:[1 2 3 3] offset:-2}}"
CUSTOM = "{{schema:-53 count:6 sum:9 custom_values:[1 2 5] buckets:[1 2 2 1]}}"
OTHER_CUSTOM = "{{schema:-53 count:6 sum:9 custom_values:[2 5 10] buckets:[1 2 2 1]}}"
GAUGE = "{{counter_reset_hint:gauge schema:0 count:70 sum:20 z_bucket:20 z_bucket_w:0.1 buckets:[11 12 13] n_buckets:[7 7]}}"
RESET = EXPONENTIAL.replace("{{", "{{counter_reset_hint:reset ")
STEP = "{{schema:0 count:4 sum:3 z_bucket:1 z_bucket_w:0.1 buckets:[1 1 1]}}"
LOADS = (
    "load 15s",
    'counter_total{l="a", job="x"} 0+3x40',
    'counter_total{l="b", job="x"} 5 8 12 3 6 _ _ 9 11 2 2 2 5 7.5 1 2 _x5 3+2x20',
    'counter_total{l="c", job="y"} _x10 1 4 stale 7 9 _x4 12+0.5x20',
    'gauge{l="a", job="x"} 1 -2 3.5 0 -0 7 NaN 4 Inf -Inf 2 1e300 -1e300 1e-300 5x30',
    'gauge{l="b", job="y"} 0 1 0 1 stale _ 3 stalex2 2 4 4 4 -3+0.3x30',
    'notnumber{l="a"} NaNx44',
    'endless{l="a"} Infx20 -Infx20',
    'endless{l="b"} 1 2 Inf 3 -Inf 4 Infx30',
    "odd 0x3 1x3 -1x3 2 _x12 1+1x10",
    'once{l="a"} _x18 5',
    'gone{l="a"} 1 2 3 stale',
    f'hist{{l="a", job="x"}} {EXPONENTIAL}+{STEP}x40',
    f'hist{{l="b", job="x"}} {EXPONENTIAL}+{STEP}x5 {EXPONENTIAL}+{STEP}x12 {FINER}+{STEP}x15',
    f'hist{{l="c", job="y"}} {FINER}+{FINER}x10 stale _ _ {RESET} {FINER}+{STEP}x10',
    f'gaugehist{{l="a", job="x"}} {GAUGE}x10 {GAUGE}-{STEP}x3 {GAUGE}+{STEP}x20',
    f'custom{{l="a", job="x"}} {CUSTOM}+{CUSTOM}x15 {CUSTOM}+{CUSTOM}x20',
    f'custom{{l="b", job="x"}} {CUSTOM}+{CUSTOM}x15 {OTHER_CUSTOM}+{OTHER_CUSTOM}x20',
    f'mixed{{l="a", job="x"}} 1 2 3 {EXPONENTIAL}+{STEP}x5 4 5 {CUSTOM} {EXPONENTIAL}x3 7+1x20',
    f'mixed{{l="b", job="y"}} {EXPONENTIAL}+{STEP}x9 1x3 {CUSTOM}+{CUSTOM}x15',
    'classic_bucket{le="0.1", l="a"} 1+1x40',
    'classic_bucket{le="1", l="a"} 3+2x40',
    'classic_bucket{le="10", l="a"} 3+3x40',
    'classic_bucket{le="+Inf", l="a"} 4+4x40',
    'classic_bucket{le="1", l="b"} 5+2x40',
    'classic_bucket{le="2", l="b"} 4+2x40',
    'classic_bucket{le="Inf", l="c"} 4+2x40',
    'classic_bucket{le="odd", l="d"} 4+2x40',
    'classic_bucket{l="e"} 1x40',
    'target_info{job="x", data="one"} 1x40',
    'target_info{job="y", data="two"} 1x20 stale',
)
NAMES = [
    "counter_total",
    "gauge",
    "notnumber",
    "endless",
    "odd",
    "once",
    "gone",
    "none",
    "hist",
    "gaugehist",
    "custom",
    "mixed",
    "classic_bucket",
]
ANY = '{__name__=~"gauge|hist|custom|odd|counter_total"}'
VECTORS = (*NAMES, ANY, "vector(1)", "(hist + 0)", "-gauge")
RANGES = ["15s", "1m", "2m10s", "5m"]
SCALARS = ["0", "1", "0.5", "-1", "2", "NaN", "Inf", "-Inf", "1e300", "1.5", "3", "time()"]
STRINGS = ('"l"', '""', '"__name__"', '"a-b"', '"(.*)"', '"$1"', '"x"', '"le"', '"\\xff"')
AGGREGATES = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
WITH_NUMBER = ["topk", "bottomk", "limitk", "limit_ratio", "quantile"]
GROUPINGS = ("", " by (l)", " by (job)", " without (l)", " by (__name__)", " without ()")
OPERATORS = ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "</", ">/"]
COMPARISONS = ["==", "!=", "<", "<=", ">", ">="]
SETS = ["and", "or", "unless"]
MATCHINGS = (
    *("", " on (l)", " ignoring (job)", " on (job)", " on ()", " on (l, job)"),
    *(" on (job) group_left", " on (job) group_right (l)", " ignoring (l) group_left (data)"),
    *(" fill (0)", " fill_left (2)", " on (l) fill_right (NaN)", " on (job) group_left fill (1)"),
)
SHIFTS = ("", " offset 30s", " offset -45s", " @ 200", " @ start()", " @ end() offset 10s")


def _argument(kind: ValueType, rng: random.Random) -> str:
    if kind is ValueType.SCALAR:
        return rng.choice(SCALARS)
    if kind is ValueType.STRING:
        return rng.choice(STRINGS)
    name = rng.choice(NAMES)
    if kind is ValueType.VECTOR:
        return rng.choice(VECTORS)
    return f"{name}[{rng.choice(RANGES)}]"


def _calls(function: Function, rng: random.Random) -> Iterator[str]:
    """Call a function with each kind of series, then with wrong and missing arguments."""
    firsts: list[str] = []
    if ValueType.MATRIX in function.args:
        firsts = [f"{name}[{length}]" for name in NAMES for length in RANGES]
        firsts += [f"{name}[2m]{word}" for name in NAMES for word in (" anchored", " smoothed")]
        firsts += [f"{rng.choice(VECTORS)}[3m:{step}]" for step in ("", "10s", "25s", "5m")]
        firsts += [f"{rng.choice(NAMES)}[2m]{shift}" for shift in SHIFTS]
        kind = ValueType.MATRIX
    elif ValueType.VECTOR in function.args:
        firsts = [*VECTORS, *(f"{rng.choice(NAMES)}{shift}" for shift in SHIFTS)]
        kind = ValueType.VECTOR
    else:
        kind = ValueType.SCALAR
        firsts = list(SCALARS)
    for first in firsts:
        args = [_argument(k, rng) for k in function.args]
        more = function.variadic if function.variadic >= 0 else 3
        if function.variadic:
            args = args[:-1] + [
                _argument(function.args[-1], rng) for _ in range(rng.randint(0, more + 1))
            ]
        places = [i for i, k in enumerate(function.args[: len(args)]) if k is kind]
        if places:
            args[places[0]] = first
        yield f"{function.name}({', '.join(args)})"
    for _ in range(4):
        kinds = [rng.choice(list(ValueType)) for _ in range(rng.randint(0, 4))]
        yield f"{function.name}({', '.join(_argument(k, rng) for k in kinds)})"


def function_queries(rng: random.Random) -> Iterator[str]:
    """Every function."""
    for function in FUNCTIONS.values():
        yield from _calls(function, rng)


def aggregation_queries(rng: random.Random) -> Iterator[str]:
    """Every aggregation, every grouping."""
    for name, vector in product(AGGREGATES, VECTORS):
        yield f"{name}{rng.choice(GROUPINGS)} ({vector})"
    for name, vector in product(WITH_NUMBER, VECTORS):
        yield f"{name}{rng.choice(GROUPINGS)} ({rng.choice(SCALARS)}, {vector})"
        yield f"{name}{rng.choice(GROUPINGS)} (2, {vector})"
        yield f"{name}{rng.choice(GROUPINGS)} (0.5, {vector})"
    for vector in VECTORS:
        yield f"count_values{rng.choice(GROUPINGS)} ({rng.choice(STRINGS)}, {vector})"


def operator_queries(rng: random.Random) -> Iterator[str]:
    """Every operator, pairs of kinds."""
    for operator, left in product(OPERATORS, VECTORS):
        for _ in range(2):
            right = rng.choice(VECTORS)
            word = " bool" if operator in COMPARISONS and rng.random() < 0.4 else ""
            matching = rng.choice(MATCHINGS)
            yield f"{left} {operator}{word}{matching} {right}"
        yield f"{left} {operator} {rng.choice(SCALARS)}"
        yield f"{rng.choice(SCALARS)} {operator} {left}"
        yield f"{left} {operator} {left}"
    for operator, left in product(SETS, VECTORS):
        for _ in range(3):
            yield f"{left} {operator}{rng.choice(MATCHINGS[:6])} {rng.choice(VECTORS)}"
    for operator, one, other in product([*OPERATORS, *SETS], SCALARS, SCALARS):
        if rng.random() < 0.1:
            yield f"{one} {operator}{' bool' if operator in COMPARISONS else ''} {other}"


def selector_queries(rng: random.Random) -> Iterator[str]:
    """Selectors with every shift, as vectors and ranges."""
    for name, shift in product(NAMES, SHIFTS):
        yield f"{name}{shift}"
        yield f"{name}[{rng.choice(RANGES)}]{shift}"
        yield f"{name}{rng.choice([' smoothed', ' anchored'])}{shift}"
        yield f"{name}[1m]{rng.choice([' smoothed', ' anchored'])}{shift}"
        yield f"{name}[2m:{rng.choice(['', '10s', '33s'])}]{shift}"


PARTS = {
    "functions": function_queries,
    "aggregations": aggregation_queries,
    "operators": operator_queries,
    "selectors": selector_queries,
}

"""New queries from written ones: other functions, operators, modifiers and times; wrapped, joined, damaged."""

import random
import re
from collections.abc import Callable, Sequence

from promql.ast import ValueType
from promql.functions.table import FUNCTIONS

AGGREGATES = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
PARAMETERS = {
    "topk": "0 1 2 -1 NaN 1.9",
    "bottomk": "0 1 2 3",
    "limitk": "0 1 2 5",
    "limit_ratio": "0 0.5 -0.5 1 -0.2 1.5",
    "quantile": "0 0.3 0.9 1 -1 2 NaN",
    "count_values": '"v" "le"',
}
OPERATORS = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "and",
    "or",
    "unless",
    "atan2",
    "</",
    ">/",
]
VECTOR_CALLS = [
    f.name for f in FUNCTIONS.values() if f.args == (ValueType.VECTOR,) and not f.variadic
]
MATRIX_CALLS = [f.name for f in FUNCTIONS.values() if f.args == (ValueType.MATRIX,)]
NAMED = re.compile(r"\b(" + "|".join(map(re.escape, FUNCTIONS)) + r")\(")
AGGREGATED = re.compile(r"\b(" + "|".join(AGGREGATES) + r")\b(?=\s*(?:\(|by|without))")
DURATION = re.compile(r"\b\d+(?:ms|[smhdwy])\b")
NUMBER = re.compile(r"(?<![\w.\"])\d+(?:\.\d+)?(?![\w.\"])")
OPERATOR = re.compile(r" (\+|-|\*|/|%|\^|==|!=|<|>|<=|>=|and|or|unless|atan2|</|>/) ")
SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)(\{[^{}]*\})?(?=[\s)\[+*/%^,]|$)")
RANGE = re.compile(r"(\[[^\[\]]*\])")
DURATIONS = ["30s", "1m", "90s", "5m", "10m", "7m", "1h", "15s", "1500ms", "20m", "1d"]
NUMBERS = ["0", "1", "2", "0.5", "-1", "0.9", "NaN", "Inf", "-Inf", "3", "100", "1e3"]
TOKENS = [
    *[
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "@",
        "offset",
        "by",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "without",
    ],
    *[
        "fill",
        "fill_left",
        "fill_right",
        "anchored",
        "smoothed",
        "start()",
        "end()",
        "step()",
        "range()",
        "sum",
        "rate",
        "5m",
        "1",
    ],
    *("= != =~ !~ == -", '"x"', "'y'", "`z`", "foo", "__name__", "0x1f", "1e", "1_000", "Inf", "$"),
    *("min_of(1,2)", "inf", "NaN", "-1m", "!", "\\", '"', "<", "</", "é", "#c", "\n", "max_of"),
]
LABELS = ["le", "instance", "job", "group", "__name__", "l", "foo"]

Mutation = Callable[[random.Random, str, Sequence[str]], str]


def _swap(pattern: re.Pattern[str], texts: Sequence[str], group: int = 1) -> Mutation:
    def run(rng: random.Random, query: str, others: Sequence[str]) -> str:
        found = list(pattern.finditer(query))
        if not found:
            return query
        at = rng.choice(found)
        return query[: at.start(group)] + rng.choice(texts) + query[at.end(group) :]

    return run


def _call(rng: random.Random, query: str, others: Sequence[str]) -> str:
    return f"{rng.choice(VECTOR_CALLS)}({query})"


def _aggregate(rng: random.Random, query: str, others: Sequence[str]) -> str:
    names = ", ".join(rng.sample(LABELS, rng.randint(0, 2)))
    grouping = rng.choice(["", f" by ({names}) ", f" without ({names}) "])
    if rng.random() < 0.6:
        return f"{rng.choice(AGGREGATES)}{grouping}({query})"
    name = rng.choice(list(PARAMETERS))
    return f"{name}{grouping}({rng.choice(PARAMETERS[name].split())}, {query})"


def _subquery(rng: random.Random, query: str, others: Sequence[str]) -> str:
    step = rng.choice(["", *DURATIONS])
    end = rng.choice(["", "", " offset 1m", " offset -1m", " @ 300", " @ end()"])
    return f"{rng.choice(MATRIX_CALLS)}(({query})[{rng.choice(DURATIONS)}:{step}]{end})"


def _operate(rng: random.Random, query: str, others: Sequence[str]) -> str:
    operator = rng.choice(OPERATORS)
    names = ", ".join(rng.sample(LABELS, rng.randint(0, 2)))
    boolean = (
        " bool" if operator in ["==", "!=", "<", ">", "<=", ">="] and rng.random() < 0.4 else ""
    )
    matching = rng.choice(["", "", f" on({names})", f" ignoring({names})"])
    if matching and rng.random() < 0.4 and operator not in ("and", "or", "unless"):
        matching += rng.choice(
            [" group_left", " group_right", " group_left(job)", " group_right(l)"]
        )
    if operator not in ("and", "or", "unless") and rng.random() < 0.3:
        matching += rng.choice([" fill(0)", " fill_left(1)", " fill_right(-1)", " fill(NaN)"])
    sides = [f"({query})", rng.choice([f"({rng.choice(others)})", rng.choice(NUMBERS)])]
    rng.shuffle(sides)
    return f"{sides[0]} {operator}{boolean}{matching} {sides[1]}"


def _modify(rng: random.Random, query: str, others: Sequence[str]) -> str:
    """Put a modifier after a selector or range."""
    found = list(RANGE.finditer(query)) or list(SELECTOR.finditer(query))
    if not found:
        return query
    at = rng.choice(found).end()
    after = [
        " offset 1m",
        " offset -30s",
        " @ 120",
        " @ start()",
        " @ end()",
        " anchored",
        " smoothed",
        " @ 60 offset 1m",
        " offset step()",
        " offset (1m + 2*30s)",
        " offset range()",
    ]
    return query[:at] + rng.choice(after) + query[at:]


def _argument(rng: random.Random, query: str, others: Sequence[str]) -> str:
    inner = f"({query})"
    number = rng.choice(NUMBERS)
    label = rng.choice(LABELS)
    return rng.choice([
        f"clamp({inner}, {number}, {rng.choice(NUMBERS)})",
        f"clamp_min({inner}, {number})",
        f"clamp_max({inner}, {number})",
        f"round({inner}, {number})",
        f"histogram_quantile({number}, {inner})",
        f"histogram_fraction({number}, {rng.choice(NUMBERS)}, {inner})",
        f'histogram_quantiles({inner}, "q", {number}, 0.5)',
        f'label_replace({inner}, "{label}", "x$1y", "{rng.choice(LABELS)}", "(.*)")',
        f'label_replace({inner}, "__name__", "{rng.choice(["", "new"])}", "", "")',
        f'label_join({inner}, "{label}", "-", "{rng.choice(LABELS)}", "{rng.choice(LABELS)}")',
        f'sort_by_label({inner}, "{label}")',
        f'sort_by_label_desc({inner}, "{label}", "job")',
        f"scalar({inner})",
        f"vector(scalar({inner}))",
        f"-{inner}",
        f"info({inner})",
        f"predict_linear({inner}[10m:1m], {number})",
        f"quantile_over_time({number}, {inner}[10m:1m])",
        f"double_exponential_smoothing({inner}[10m:1m], 0.5, {number})",
        f"absent({inner})",
        f"timestamp({inner})",
    ])  # fmt: skip


def _damage(rng: random.Random, query: str, others: Sequence[str]) -> str:
    """Drop, double, exchange or put in a token."""
    tokens = re.findall(r"\s+|\w+|\"[^\"]*\"|.", query)
    if not tokens:
        return query
    at = rng.randrange(len(tokens))
    how = rng.randrange(4)
    if how == 0:
        del tokens[at]
    elif how == 1:
        tokens.insert(at, rng.choice(TOKENS))
    elif how == 2:
        tokens[at] = rng.choice(TOKENS)
    else:
        other = rng.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens)


MUTATIONS: Sequence[Mutation] = (
    _swap(NAMED, VECTOR_CALLS),
    _swap(NAMED, MATRIX_CALLS),
    _swap(NAMED, MATRIX_CALLS),
    _swap(AGGREGATED, AGGREGATES),
    _swap(DURATION, DURATIONS, 0),
    _swap(NUMBER, NUMBERS, 0),
    _swap(OPERATOR, OPERATORS),
    _call,
    _aggregate,
    _aggregate,
    _subquery,
    _operate,
    _operate,
    _modify,
    _modify,
    _argument,
    _argument,
)


def mutated(rng: random.Random, query: str, others: Sequence[str]) -> str:
    """Return a query made of another by one to three changes."""
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        query = rng.choice(MUTATIONS)(rng, query, others)
    return query


def damaged(rng: random.Random, query: str) -> str:
    """Return a text that is likely no query."""
    for _ in range(rng.choice([1, 1, 1, 2])):
        query = _damage(rng, query, ())
    return query

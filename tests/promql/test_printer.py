"""Printing and looking through trees."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from promql import ast
from promql.parser import parse
from promql.printer import format_expr, prettify
from promql.visit import metric_names, selectors

_names = st.sampled_from(["up", "http_requests_total", "a:b:c", "sum", "by", "température", "a.b"])
_labels = st.sampled_from(["job", "instance", "le", "on", "équipe", "x y"])
_texts = st.text(st.characters(codec="utf-8"), max_size=6)
_durations = st.sampled_from(
    ["5m", "1h30m", "10ms", "90s", "1d", "step() * 2", "(1h - 5m) / 3", "max_of(1m, step())"]
)


@st.composite
def _selector(draw: st.DrawFn) -> str:
    from promql.text import quote

    name = draw(_names)
    pairs = draw(st.lists(st.tuples(_labels, st.sampled_from(["=", "!="]), _texts), max_size=2))
    inside = ", ".join(f"{quote(k)}{op}{quote(v)}" for k, op, v in pairs)
    return f"{name}{{{inside}}}" if pairs else name


@st.composite
def _shifted(draw: st.DrawFn, base: str) -> str:
    at = draw(st.sampled_from(["", " @ 12.5", " @ start()", " @ end()", " @ -3"]))
    offset = draw(
        st.sampled_from(
            ["", " offset 5m", " offset -1h", " offset (step() + 1s)", " offset range()"]
        )
    )
    return base + draw(st.sampled_from([at + offset, offset + at]))


@st.composite
def _vector(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0:
        return draw(_shifted(draw(_selector())))
    inner = _vector(depth=depth - 1)
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return draw(_shifted(draw(_selector())))
    if kind == 1:
        return f"rate({draw(_shifted(f'{draw(_selector())}[{draw(_durations)}]'))})"
    if kind == 2:
        step = draw(st.sampled_from(["", "1m", "step()"]))
        return f"max_over_time({draw(_shifted(f'({draw(inner)})[{draw(_durations)}:{step}]'))})"
    if kind == 3:
        clause = draw(st.sampled_from(["", "by (job, le)", "without (instance)", "without ()"]))
        return f"sum {clause} ({draw(inner)})"
    if kind == 4:
        return f"topk(3, {draw(inner)})"
    if kind == 5:
        return f"(-({draw(inner)}))"
    op = draw(st.sampled_from(["+", "-", "*", "/", "^", "%", "atan2", "==", "> bool", "</"]))
    if kind == 6:
        return f"({draw(inner)}) {op} {draw(st.sampled_from(['2', '1e3', '5m', 'time()']))}"
    modifier = draw(
        st.sampled_from(
            [
                "",
                "on (job)",
                "ignoring (le)",
                "on (job) group_left (le)",
                "on () group_right ()",
                "fill (0)",
            ]
        )
    )
    return f"({draw(inner)}) {op} {modifier} ({draw(inner)})"


def without_places(node: Any) -> Any:
    """Return a tree as nested tuples without positions; matchers in a fixed order."""
    if isinstance(node, tuple):
        parts = [without_places(x) for x in node]
        return (
            tuple(sorted(parts, key=repr)) if parts and isinstance(parts[0], str) else tuple(parts)
        )
    if not isinstance(node, Struct):
        return node
    kept = {f: getattr(node, f) for f in node.__struct_fields__ if f not in ("start", "end")}
    if isinstance(node, ast.VectorSelector):
        kept["matchers"] = tuple(sorted(map(repr, node.matchers)))
    if isinstance(node, ast.NumberLiteral):
        kept.pop("duration")
    return type(node).__name__, tuple((k, without_places(v)) for k, v in kept.items())


@settings(max_examples=60, deadline=None)
@given(_vector())
def test_what_is_printed_parses_to_the_same_tree(text: str) -> None:
    """Printing loses nothing but blanks and the order of matchers."""
    tree = parse(text)
    printed = format_expr(tree)

    assert without_places(parse(printed)) == without_places(tree)
    assert format_expr(parse(printed)) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("sum(foo) by(a)", "sum by (a) (foo)"),
        ("foo{b='c',a!~\"d\"}[90s]offset 1m", 'foo{a!~"d",b="c"}[1m30s] offset 1m'),
        ("foo @ 1.5", "foo @ 1.500"),
        ("a+on(b)group_left bar", "a + on (b) group_left () bar"),
        ("1e3*foo>bool 2", "1000 * foo > bool 2"),
        ("foo[5m:]", "foo[5m:]"),
        ('count_values("x\\n", foo)', 'count_values("x\\n", foo)'),
        ("predict_linear(foo[1w], 4h)", "predict_linear(foo[1w], 4h)"),
        ("rate(foo[step()+1s])", "rate(foo[step() + 1s])"),
        ("+Inf", "+Inf"),
        ("- 5m", "-5m"),
    ],
)
def test_the_form_is_prometheuss(text: str, printed: str) -> None:
    """One space, sorted matchers, whole units."""
    assert format_expr(parse(text)) == printed


def test_selectors_and_names() -> None:
    """Lints see every selector, and the names that are spelt out."""
    tree = parse(
        'sum(rate(a_total[5m])) / on() ({"b c"} or {__name__=~"d.*"} or max_over_time(e[1h:1m]))'
    )

    assert [s.name for s in selectors(tree)] == ["a_total", "", "", "e"]
    assert metric_names(tree) == {"a_total", "b c", "e"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("sum(foo)", ["sum(foo)"]),
        (
            f"sum by (a) (rate({'m' * 90}[5m]))",
            ["sum by (a) (", f"  rate({'m' * 90}[5m])", ")"],
        ),
        (
            f"topk(3, {'m' * 100} > bool on(b) (-{'n' * 100}))",
            [
                "topk(",
                "  3,",
                f"    {'m' * 100}",
                "  > bool on (b)",
                "    (",
                f"      -{'n' * 100}",
                "    )",
                ")",
            ],
        ),
        (
            f"max_over_time(rate({'m' * 100}[5m])[1h:1m] @ 5)",
            [
                "max_over_time(",
                "  rate(",
                f"    {'m' * 100}[5m]",
                "  )[1h:1m] @ 5.000",
                ")",
            ],
        ),
    ],
)
def test_what_is_longer_than_a_line_is_broken(text: str, lines: list[str]) -> None:
    """Beyond 100 bytes each operand and argument gets a line of its own, two blanks deeper."""
    assert prettify(text).split("\n") == lines


@settings(max_examples=60, deadline=None)
@given(_vector())
def test_breaking_into_lines_does_not_change_the_tree(text: str) -> None:
    """What ``format_query`` gives parses to the same tree."""
    assert without_places(parse(prettify(text))) == without_places(parse(text))

"""The parser: trees, positions, and errors worded and placed as Prometheus does."""

import pytest

from model.errors import ParseError
from model.labels import Matcher, MatchOp
from promql import ast
from promql.parser import parse, parse_selector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown position: parse error: no expression found in input"),
        ("1+", "1:3: parse error: unexpected end of input"),
        ("foo bar", '1:5: parse error: unexpected identifier "bar"'),
        ("1 1", '1:3: parse error: unexpected number "1"'),
        ("(1", "1:3: parse error: unclosed left parenthesis"),
        ("1)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("*1", "1:1: parse error: unexpected <op:*>"),
        ("a ! b", "1:3: parse error: unexpected character after '!': ' '"),
        ("foo{", "1:5: parse error: unexpected end of input inside braces"),
        (
            "foo{a}",
            '1:6: parse error: unexpected "}" in label matching, expected label matching operator',
        ),
        ("foo{a=1}", "1:7: parse error: unexpected character inside braces: '1'"),
        (
            'foo{a="b" c="d"}',
            '1:11: parse error: unexpected identifier "c" in label matching, expected "," or "}"',
        ),
        (
            "foo[]",
            '1:5: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()',
        ),
        ("foo[0m]", "1:5: parse error: duration must be greater than 0"),
        (
            "foo offset",
            "1:11: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
        ),
        ("foo offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        (
            "1 offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("foo @ bar", '1:7: parse error: unexpected identifier "bar" in @, expected timestamp'),
        ("sum(foo bar)", '1:9: parse error: unexpected identifier "bar" in aggregation'),
        (
            "sum by foo (a)",
            '1:8: parse error: unexpected identifier "foo" in grouping opts, expected "("',
        ),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "topk(foo)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("nope(1)", '1:1: parse error: unknown function with name "nope"'),
        ("1 + nope(1)", '1:5: parse error: unknown function with name "nope"'),
        (
            "rate(foo)",
            '1:6: parse error: expected type range vector in call to function "rate", got instant vector',
        ),
        ("abs(foo, foo)", '1:1: parse error: expected 1 argument(s) in call to "abs", got 2'),
        ("round()", '1:1: parse error: expected at least 1 argument(s) in call to "round", got 0'),
        ("abs(foo,)", "1:8: parse error: trailing commas not allowed in function call args"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        (
            "foo + bool bar",
            "1:5: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "foo and 1",
            '1:1: parse error: set operator "and" not allowed in binary scalar expression',
        ),
        (
            "foo[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "foo * on(a) group_left(a) bar",
            '1:5: parse error: label "a" must not occur in ON and GROUP clause at once',
        ),
        ('{a=""}', "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        (
            '{a=~".*"}',
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            'foo{__name__="bar"}',
            '1:1: parse error: metric name must not be set twice: "foo" or "bar"',
        ),
        ('"a', "1:1: parse error: unterminated quoted string"),
        ("5mm", '1:1: parse error: bad number or duration syntax: "5mm"'),
        (
            "\n  foo{\n,}",
            '3:1: parse error: unexpected "," in label matching, expected identifier or "}"',
        ),
        ("ünï{} +", "1:10: parse error: unexpected end of input"),
        ("foo = 1", '1:5: parse error: unexpected "="'),
        ("foo start()", '1:5: parse error: unexpected "start"'),
        ("foo)", "1:5: parse error: unexpected right parenthesis ')'"),
        ("nope(1) !", '1:1: parse error: unknown function with name "nope"'),
        ("abs(foo,]", "1:9: parse error: unexpected right bracket ']'"),
        ("abs(foo,=", "1:8: parse error: trailing commas not allowed in function call args"),
        ("foo[5m", "1:7: parse error: unclosed left bracket"),
        ("rate(foo[5m", "1:12: parse error: unclosed left parenthesis"),
        ("foo[", "1:5: parse error: unexpected end of input in duration expression"),
        ("foo[5m[", "1:7: parse error: unexpected left bracket '['"),
        ("foo[5m é]", "1:8: parse error: unexpected character: 'é', expected ':'"),
        ("foo[:5m]", "1:6: parse error: unexpected colon before duration in duration expression"),
        ("foo[5m::]", "1:8: parse error: unexpected colon ':'"),
        (
            "1_ + 1",
            '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "1_": invalid syntax',
        ),
        (
            "1e400",
            '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "1e400": value out of range',
        ),
        ("1.5h", '1:1: parse error: unknown unit "." in duration "1.5h"'),
        ("5s1m", '1:1: parse error: not a valid duration string: "5s1m"'),
        ("foo @ start)", "1:13: parse error: unexpected right parenthesis ')'"),
        ("(foo @ start)", '1:13: parse error: unexpected ")" in @, expected timestamp'),
        ("sum by (a:b) (foo)", '1:9: parse error: invalid label name for grouping: "a:b"'),
        (
            "foo / on (a) group_left",
            '1:24: parse error: unexpected end of input in grouping opts, expected "("',
        ),
        ('foo{a=~"b("}', "1:5: parse error: error parsing regexp: missing closing ): `b(`"),
        (
            "foo[5m] anchored smoothed",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
        (
            "info(foo, 1)",
            '1:1: parse error: expected type instant vector in call to function "info", got scalar',
        ),
        (
            "info(foo, bar)",
            "1:11: parse error: expected label selectors only, got vector selector instead",
        ),
        ("info(foo, (bar))", "1:11: parse error: expected label selectors only"),
    ],
)
def test_errors_say_what_prometheus_says(text: str, message: str) -> None:
    """Line and column count from 1; columns count bytes."""
    with pytest.raises(ParseError) as caught:
        parse(text)

    assert str(caught.value) == message


def test_a_bad_pattern_is_refused_with_its_place() -> None:
    """A regular expression that RE2 does not know is an error of the matcher."""
    with pytest.raises(ParseError, match=r"1:5: parse error: error parsing regexp: missing"):
        parse('foo{a=~"(b"}')


def test_every_node_knows_its_place() -> None:
    """Offsets cut exactly the node's own text."""
    text = "sum by (a) (rate(foo{x='y'}[5m] offset 1m)) / -bar"
    tree = parse(text)

    assert isinstance(tree, ast.Binary)
    assert isinstance(tree.left, ast.Aggregate)
    assert isinstance(tree.left.expr, ast.Call)
    nodes = (tree.left, tree.left.expr, tree.left.expr.args[0], tree.right)
    assert [text[n.start : n.end] for n in nodes] == [
        "sum by (a) (rate(foo{x='y'}[5m] offset 1m))",
        "rate(foo{x='y'}[5m] offset 1m)",
        "foo{x='y'}[5m] offset 1m",
        "-bar",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1F", 31.0),
        ("0755", 493.0),
        ("1_000.5", 1000.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-Inf", float("-inf")),
        ("1h30m", 5400.0),
        ("1y2w3d4h5m6s7ms", 365 * 86400 + 14 * 86400 + 3 * 86400 + 4 * 3600 + 306.007),
    ],
)
def test_numbers_in_every_form(text: str, value: float) -> None:
    """A duration is its seconds."""
    tree = parse(text)

    assert isinstance(tree, ast.NumberLiteral)
    assert tree.value == value


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("1 + 2 * 3 ^ 4 ^ 5", "(1 + (2 * (3 ^ (4 ^ 5))))"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a + b > bool c", "((a + b) > c)"),
        ("-a ^ b", "(-(a ^ b))"),
        ("-a * b", "((-a) * b)"),
        ("a ^ -b * c", "((a ^ (-b)) * c)"),
        ("a atan2 b % c", "((a atan2 b) % c)"),
        ("foo offset -2 ^ 2", "(foo ^ 2)"),
    ],
)
def test_precedence(text: str, shape: str) -> None:
    """Operators bind as Prometheus's do; a sign binds like multiplication."""

    def show(expr: ast.Expr) -> str:
        if isinstance(expr, ast.Binary):
            return f"({show(expr.left)} {expr.op} {show(expr.right)})"
        if isinstance(expr, ast.Unary):
            return f"({expr.op}{show(expr.expr)})"
        if isinstance(expr, ast.VectorSelector):
            return expr.name
        assert isinstance(expr, ast.NumberLiteral)
        return f"{expr.value:g}"

    assert show(parse(text)) == shape


def test_keywords_are_names_where_they_can_be() -> None:
    """A metric may be called as an aggregation or modifier is; so may labels."""
    tree = parse("sum by (sum, by, on) (sum) + offset offset 1m + fill")

    assert [s.name for s in _selectors(tree)] == ["sum", "offset", "fill"]


def test_names_of_any_script_and_quoted_ones() -> None:
    """Letters of any script and dots need no quotes; anything goes in quotes."""
    tree = parse('http.requests{équipe="a", "x y"=~"b"} + {"température"}')

    first, second = _selectors(tree)
    assert first.matchers == (
        Matcher("équipe", MatchOp.EQUAL, "a"),
        Matcher("x y", MatchOp.REGEX, "b"),
        Matcher("__name__", MatchOp.EQUAL, "http.requests"),
    )
    assert second.matchers == (Matcher("__name__", MatchOp.EQUAL, "température"),)


def test_series_selectors_of_requests() -> None:
    """``match[]`` takes a selector and nothing else."""
    assert parse_selector('{a="b"}') == (Matcher("a", MatchOp.EQUAL, "b"),)
    with pytest.raises(ParseError):
        parse_selector("rate(a[5m])")


def _selectors(tree: ast.Expr) -> list[ast.VectorSelector]:
    from promql.visit import selectors

    return list(selectors(tree))

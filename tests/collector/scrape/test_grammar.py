"""Single lines of an exposition."""

import math

import pytest

from collector.scrape.grammar import parse_comment, parse_series, parse_value, split_series


@pytest.mark.parametrize(
    ("line", "series", "rest"),
    [
        (b"up 1", b"up ", b"1"),
        (b"up\t1", b"up\t", b"1"),
        (b'up{a="b"} 1', b'up{a="b"} ', b"1"),
        (b'up{a="b"}1', b'up{a="b"}', b"1"),
        (b'up {a="}"} 1 5', b'up {a="}"} ', b"1 5"),
        (b'up{a="\\"} 2"} 1', b'up{a="\\"} 2"} ', b"1"),
        (b"up{} 1", b"up{} ", b"1"),
        (b'{"my.metric",a="b"} 1', b'{"my.metric",a="b"} ', b"1"),
        (b"up", b"", b"up"),
        (b"1up 2", b"", b"1up 2"),
        (b'up{a="b} 1', b"", b'up{a="b} 1'),
        (b"up} 1", b"", b"up} 1"),
        (b"<html> 1", b"", b"<html> 1"),
        (b"a" * 100_000 + b'{b="' + b'\\"' * 100_000, b"", None),
        (b"a{" * 50_000, b"", None),
    ],
)  # fmt: skip
def test_where_the_value_begins(line: bytes, series: bytes, rest: bytes | None) -> None:
    """A line falls into series and value; garbage has no series and takes no long time."""
    at = split_series(line)

    assert line[:at] == series
    assert rest is None or line[at:] == rest


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (b"up ", (("__name__", "up"),)),
        (b"a:b{} ", (("__name__", "a:b"),)),
        (b'up{a="b",c="d",} ', (("__name__", "up"), ("a", "b"), ("c", "d"))),
        (b'up { a = "b" , c="" } ', (("__name__", "up"), ("a", "b"), ("c", ""))),
        (b'up{a="x\\"y\\\\z\\n"} ', (("__name__", "up"), ("a", 'x"y\\z\n'))),
        ('up{a="gr\u00fc\u00df"} '.encode(), (("__name__", "up"), ("a", "gr\u00fc\u00df"))),
        (b'{"http.requests","path.x"="/"} ', (("__name__", "http.requests"), ("path.x", "/"))),
        (b'{__name__="x"} ', (("__name__", "x"),)),
        (b'{a="b"} ', None),  # no name
        (b'up{a="b" c="d"} ', None),
        (b'up{a="1",a="2"} ', None),  # a label twice
        (b'up{1a="b"} ', None),
        (b"up{a=b} ", None),
        (b'up{a="\xff"} ', None),  # not UTF-8
        (b'up{"x"} ', None),  # two names
    ],
)
def test_labels_of_a_series(text: bytes, pairs: tuple[tuple[str, str], ...] | None) -> None:
    """Names and values with their escapes undone; None for what is none."""
    assert parse_series(text) == pairs


@pytest.mark.parametrize(
    ("rest", "openmetrics", "want"),
    [
        (b"1", False, (1.0, None)),
        (b" -1.5e3\r", False, (-1500.0, None)),
        (b"+Inf", False, (math.inf, None)),
        (b"1 1395066363000", False, (1.0, 1395066363000)),
        (b"1 -5", False, (1.0, -5)),
        (b"1 1520879607.789", True, (1.0, 1520879607789)),
        (b'1 # {trace_id="x y"} 0.5 1.5', True, (1.0, None)),
        (b"1 2 # {} 3", True, (1.0, 2000)),
        (b"1 1.5", False, None),
        (b"1_000", False, None),
        (b"one", False, None),
        (b"", False, None),
        (b"1 2 3", False, None),
        (b"1 1e400", True, None),
    ],
)
def test_value_and_timestamp(
    rest: bytes, openmetrics: bool, want: tuple[float, int | None] | None
) -> None:
    """The text format has ms, OpenMetrics seconds; exemplars are left out."""
    assert parse_value(rest, openmetrics=openmetrics) == want


def test_not_a_number_is_a_value() -> None:
    """NaN is a value like any."""
    found = parse_value(b"NaN", openmetrics=False)

    assert found is not None
    assert math.isnan(found[0])


@pytest.mark.parametrize(
    ("line", "want"),
    [
        (b"# TYPE up gauge", ("TYPE", "up", "gauge")),
        (b"# HELP up A\\nb \\\\ c", ("HELP", "up", "A\nb \\ c")),
        (b"# HELP up", ("HELP", "up", "")),
        (b"# UNIT x_seconds seconds", ("UNIT", "x_seconds", "seconds")),
        (b"# EOF", ("EOF", "", "")),
        (b'# TYPE "my.metric" counter', ("TYPE", "my.metric", "counter")),
        (b"# a remark", None),
        (b"#", None),
        (b"#TYPE up gauge", None),
    ],
)
def test_comments(line: bytes, want: tuple[str, str, str] | None) -> None:
    """TYPE, HELP, UNIT and EOF say something; anything else is a remark."""
    assert parse_comment(line) == want

"""Whole expositions: learning, changing and garbled ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.scrape.text import NO_TIMESTAMP, Exposition, ExpositionParser, parse_numbers

PLAIN = b'# HELP a Help.\n# TYPE a counter\na{x="1"} 1\na{x="2"} 2\nb 3\n'


def rows(found: Exposition) -> list[tuple[bytes, float]]:
    """Return series and values side by side."""
    return list(zip((s.strip() for s in found.series), found.values.tolist(), strict=True))


def test_the_same_lines_are_the_same_object() -> None:
    """Once learned, only values are parsed, and the series are the same object."""
    parser = ExpositionParser()

    first = parser.parse(PLAIN)
    second = parser.parse(PLAIN.replace(b"} 2", b"} 2.5e10"))

    assert rows(first) == [(b'a{x="1"}', 1), (b'a{x="2"}', 2), (b"b", 3)]
    assert second.series is first.series
    assert second.values.tolist() == [1, 2.5e10, 3]


@pytest.mark.parametrize(
    ("then", "want"),
    [
        (b"a 1\nb 2\nc 3\n", [(b"a", 1), (b"b", 2), (b"c", 3)]),  # a line more
        (b"b 2\n", [(b"b", 2)]),  # a line fewer
        (b"a 1\nc 2\n", [(b"a", 1), (b"c", 2)]),  # another series
        (b"a 1\nbb 2\n", [(b"a", 1), (b"bb", 2)]),  # a longer name
        (b"b 2\na 1\n", [(b"b", 2), (b"a", 1)]),  # another order
        (b"a 1\nb 2", [(b"a", 1), (b"b", 2)]),  # no last line break
        (b"a 1\r\nb 2\r\n", [(b"a", 1), (b"b", 2)]),
        (b"a 1 7\nb 2\n", [(b"a", 1), (b"b", 2)]),  # a timestamp appears
        (b"a 1_0\nb 2\n", [(b"b", 2)]),  # Python's number, not the format's
        (b"a 1\n\nb 2\n", [(b"a", 1), (b"b", 2)]),
        (b"", []),
        (b"\n", []),
    ],
)
def test_what_was_learned_does_not_blind(then: bytes, want: list[tuple[bytes, float]]) -> None:
    """After learning ``a`` and ``b``, any other exposition is parsed as if it were the first."""
    parser = ExpositionParser()
    parser.parse(b"a 5\nb 6\n")

    assert rows(parser.parse(then)) == want
    assert rows(ExpositionParser().parse(then)) == want


def test_a_blank_line_that_becomes_a_sample_is_seen() -> None:
    """A line that was blank when the lines were learned is not taken for a value."""
    parser = ExpositionParser()
    parser.parse(b"a 5\n\nb 6\n")

    assert rows(parser.parse(b"a 5\nc 1\nb 6\n")) == [(b"a", 5), (b"c", 1), (b"b", 6)]


def test_timestamps_stand_beside_the_values() -> None:
    """Own timestamps come as a column, also when the lines are known."""
    parser = ExpositionParser()
    for number in (1, 2):
        found = parser.parse(b"a 1 %d\nb 2\n" % number)

        assert found.ts_ms is not None
        assert found.ts_ms.tolist() == [number, NO_TIMESTAMP]


def test_openmetrics() -> None:
    """Seconds, exemplars, units, and the end that must be there."""
    text = (
        b"# TYPE foo_seconds counter\n# UNIT foo_seconds seconds\n# HELP foo_seconds What.\n"
        b'foo_seconds_total 17.0 1520879607.789 # {trace_id="a # b"} 0.67\nfoo_seconds_created 1\n# EOF\n'
    )
    parser = ExpositionParser()
    for _ in range(2):
        found = parser.parse(text, openmetrics=True)

        assert rows(found) == [(b"foo_seconds_total", 17.0), (b"foo_seconds_created", 1.0)]
        assert found.ts_ms is not None
        assert found.ts_ms[0] == 1520879607789
        assert found.complete
    about = parser.metadata["foo_seconds"]
    assert (about.type, about.unit, about.help) == ("counter", "seconds", "What.")
    assert not parser.parse(text.replace(b"# EOF\n", b""), openmetrics=True).complete


def test_bad_lines_are_counted_and_the_rest_is_taken() -> None:
    """What can be read is read; every time, not only the first."""
    parser = ExpositionParser()
    for _ in range(2):
        found = parser.parse(b"a 1\n<html>\nb x\nc 3\n")

        assert rows(found) == [(b"a", 1), (b"c", 3)]
        assert (found.bad_lines, found.first_bad) == (2, b"<html>")


names = st.from_regex(rb"[a-z_]{1,8}", fullmatch=True)
numbers = st.one_of(st.floats(allow_nan=True), st.integers(-(10**20), 10**20).map(float))
values = st.binary(max_size=6).map(
    lambda b: b.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
)
lines = st.builds(
    lambda name, label, number: name + b'{x="' + label + b'"} ' + repr(number).encode(),
    names,
    values,
    numbers,
)


@given(st.lists(st.lists(st.one_of(lines, st.binary(max_size=30)), max_size=12), max_size=4))
def test_any_bytes_are_an_answer(bodies: list[list[bytes]]) -> None:
    """Whatever comes in whatever order: no exception, and the same as a parser without memory gives."""
    learned = ExpositionParser()
    for body in bodies:
        text = b"\n".join(body)
        for openmetrics in (False, True):
            found = learned.parse(text, openmetrics=openmetrics)
            fresh = ExpositionParser().parse(text, openmetrics=openmetrics)

            assert tuple(found.series) == tuple(fresh.series)
            assert found.values.view(np.int64).tolist() == fresh.values.view(np.int64).tolist()
            assert (found.bad_lines, found.complete) == (fresh.bad_lines, fresh.complete)


spellings = st.one_of(
    numbers.map(repr),
    st.sampled_from(["-0", "+1", "NaN", "nan", "+Inf", "-Inf", "007", ".5", "5.", "1e400", "-0e5"]),
    st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text("0123456789.,-+eEnull[]_ aN", max_size=5),
).map(str.encode)


@given(st.lists(spellings, max_size=8))
def test_many_numbers_at_once_are_the_numbers_one_by_one(texts: list[bytes]) -> None:
    """Whatever stands there: the bits that ``float`` gives for each, or nothing at all."""
    try:
        want = [float(text) for text in texts]
    except ValueError:
        want = None
    if any(b"_" in text for text in texts):
        want = None
    got = parse_numbers(b"".join(text + b"\n" for text in texts))

    assert (got is None) == (want is None)
    if got is not None:
        assert (
            got.view(np.int64).tolist() == np.array(want, dtype=np.float64).view(np.int64).tolist()
        )


@given(st.lists(st.tuples(names, values, numbers), min_size=1, max_size=20), numbers)
def test_good_lines_come_back(rows_in: list[tuple[bytes, bytes, float]], other: float) -> None:
    """Well-formed lines give their values to the last bit, also on the quick path."""
    heads = [name + b'{x="' + label + b'"} ' for name, label, _ in rows_in]
    parser = ExpositionParser()
    for numbers_in in ([number for _, _, number in rows_in], [other] * len(rows_in)):
        body = b"".join(
            head + repr(number).encode() + b"\n"
            for head, number in zip(heads, numbers_in, strict=True)
        )
        found = parser.parse(body)

        assert list(found.series) == heads
        for got, want in zip(found.values.tolist(), numbers_in, strict=True):
            assert got == want or (math.isnan(got) and math.isnan(want))

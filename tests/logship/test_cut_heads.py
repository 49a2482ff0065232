"""Text lines taken apart by position say what the same lines say one by one."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logship.parse import cut_heads
from logship.parse.cut import some
from logship.parse.parser import Parser
from tests.logship.harness import NOW_NS, ORIGIN, shown
from tests.logship.test_wrapped_json import docker, told

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADS = ["INFO [w-1] a.B", "WARN [w-2] a.B", "ERROR [traceId=" + TRACE + "] a.C", "INFO [é] a.B", "odd", 'INFO ["x"] a.B', "", "INFO  [w-1]  a.B"]  # fmt: skip
TAILS = [
    "done",
    "",
    'say "x"',
    "back\\slash - more",
    f"trace_id={TRACE}",
    "ü - <b>",
    "tab\tin it",
    "x" * 300,
    "\r",
]
TIMES = [f"2026-11-22 09:00:{n:02d}.{n:03d}" for n in range(12)]
OTHERS = [
    "java.lang.Oops: x",
    "\tat a.B.c(C.java:1)",
    "\tat a.B.<init>(C.java:2)",
    "Caused by: a.E: ü",
    "\t... 3 more",
    "",
    "plain words",
    "  indented",
    "{",
    "a=1 b=2",
]
TIMED = [
    "2026-11-22 09:00:00.001",
    "2026-11-22 09:00:00.002 words without a head",
    "2026-11-22 09:00:00.003 odd - no head",
    '2026-11-22 09:00:00.004 INFO [a"b] c.D - escaped head',
]
# these make the times of a read to be of several forms
FORMS = ["2026-11-22 09:00:00.1", "2026-11-22 09:00:00.1234 INFO [a] b.C - longer", "2026-11-22T09:00:00.123 INFO [a] b.C - T", "2026-11-22 25:00:00.000 INFO [a] b.C - no such hour"]  # fmt: skip


MARKS = [" - ", " : ", "] ", "\t"]


@st.composite
def a_read(draw: st.DrawFn) -> list[str]:
    """Return lines of one layout, with some others among them."""
    mark = draw(st.sampled_from(MARKS))
    numbers = draw(st.lists(st.integers(0, 1000), min_size=8, max_size=40))
    lines = [
        f"{TIMES[n % 12]} {HEADS[n % (3 if n % 10 else len(HEADS))]}{mark}{TAILS[n % len(TAILS)]}"
        for n in numbers
    ]
    others = st.sampled_from([*OTHERS, *TIMED, *(FORMS if draw(st.integers(0, 3)) == 0 else [])])
    for at, line in draw(st.lists(st.tuples(st.integers(0, 40), others), max_size=12)):
        lines.insert(at, line)
    return lines


def by_text(parser: Parser, data: str, **how: Any) -> tuple[list[tuple[Any, ...]], int]:
    """Parse with every line as a text of its own."""
    split = parser.unwrap
    assert split is not None
    parsed = parser.lines(split(data.encode(), 0), ORIGIN, NOW_NS, **how)
    return told(parsed.batches), parsed.end


@settings(max_examples=300, deadline=None)
@given(
    reads=st.lists(a_read(), min_size=1, max_size=4),
    multiline=st.booleans(),
    closing=st.booleans(),
    form=st.sampled_from(["auto", "pattern", "plain"]),
)
def test_what_is_cut_is_what_is_read(
    reads: list[list[str]], *, multiline: bool, closing: bool, form: Any
) -> None:
    """Any lines, one read after another, so that later ones meet the layout that the earlier showed."""
    how: dict[str, Any] = {"wrapping": "json-file", "multiline": multiline, "format": form}
    cut, texts = Parser(None, **how), Parser(None, **how)
    for lines in reads:
        data = "".join(map(docker, lines))
        parsed = cut.parse(data.encode(), 0, ORIGIN, NOW_NS, closing=closing)

        assert (told(parsed.batches), parsed.end) == by_text(texts, data, closing=closing)


def test_most_lines_are_never_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of lines of one layout only those are looked at one by one that are of another."""
    looked_at: list[str] = []

    def seen(texts: Any, rows: Any) -> list[str]:
        found = some(texts, rows)
        looked_at.extend(found)
        return found

    lines = [f"2026-11-22 09:00:00.{n:03d} INFO [w-{n % 3}] a.B - handled {n}" for n in range(100)]
    lines[50] = "2026-11-22 09:00:00.050 something else"
    parser = Parser(None, wrapping="json-file")
    parser.parse("".join(map(docker, lines)).encode(), 0, ORIGIN, NOW_NS, closing=True)  # learns
    for module in ("detect", "join", "parser"):
        monkeypatch.setattr(f"logship.parse.{module}.some", seen)
    parsed = parser.parse("".join(map(docker, lines)).encode(), 0, ORIGIN, NOW_NS, closing=True)

    assert set(looked_at) <= {lines[50], lines[-1]}
    assert shown(parsed)[7] == 'i||handled 7|{"logger":"a.B","thread":"w-1"}'
    assert shown(parsed)[50] == f"-||{lines[50]}|"


def test_heads_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is never the same in each head does not fill the memory."""
    monkeypatch.setattr(cut_heads, "HEADS_MAX", 10)
    lines = [f"2026-11-22 09:00:00.{n:03d} INFO [w-{n}] a.B - handled {n}" for n in range(100)]
    parser = Parser(None, wrapping="json-file")
    data = "".join(map(docker, lines)).encode()
    parser.parse(data, 0, ORIGIN, NOW_NS, closing=True)
    parsed = parser.parse(data, 0, ORIGIN, NOW_NS, closing=True)

    assert [json.loads(row.split("|")[-1])["thread"] for row in shown(parsed)] == [f"w-{n}" for n in range(100)]  # fmt: skip

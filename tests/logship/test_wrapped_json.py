"""Templates: whatever a json-file log holds, they say what the full parser says."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logship.parse.batch import build
from logship.parse.join import join
from logship.parse.json_lines import JsonLines
from logship.parse.learn import learn
from logship.parse.lines import json_file
from logship.parse.parser import Parser
from logship.parse.wrapped import Wrapped
from logship.parse.wrapped_json import WrappedJson
from model.log import LogBatch
from tests.logship.harness import NOW_NS, ORIGIN, shown

TRACE = "0af7651916cd43dd8448eb211c80319c"
AT = "2026-11-22T09:00:00.123456789Z"
USUAL = [
    f'{{"ts":"2026-11-22T09:00:00.{n:06d}Z","level":"{level}","logger":"a.B","thread":"w-{n}","n":{n},"trace_id":"{n:032x}","msg":"handled {n}"}}'
    for n, level in enumerate(("INFO", "warn", "ERROR", "odd", "INFO", "DEBUG", "INFO", "INFO", "INFO"), 1)
]  # fmt: skip


def docker(text: str, stream: str = "stdout", at: str = AT, attrs: str = "") -> str:
    """Return a JSON line as Docker itself writes it."""
    log = json.dumps(text + "\n", ensure_ascii=False)
    for char in "<>&":
        log = log.replace(char, f"\\u{ord(char):04x}")
    return f'{{"log":{log},"stream":"{stream}",{attrs}"time":"{at}"}}\n'


def told(batches: Sequence[LogBatch]) -> list[tuple[Any, ...]]:
    """Return all there is to know of each record, the own fields as what they mean."""
    records = []
    for batch in batches:
        for row in range(len(batch)):
            fields = batch.buf[batch.fields.starts[row] : batch.fields.ends[row]]
            records.append((
                batch.stream, int(batch.offsets[row]), batch.text(row), json.loads(fields or b"{}"), int(batch.ts_ns[row]),
                int(batch.levels[row]), int(batch.flags[row]), batch.trace_ids.get(row), batch.end_offset,
            ))  # fmt: skip
    return records


def full(data: bytes) -> tuple[list[tuple[Any, ...]], int]:
    """Parse with the full parser, each JSON line by itself, and without what was learned before."""
    lines = json_file(data, 0)
    records = join(lines, multiline=True, closing=True, final=True)
    if records.texts and records.structured and not records.sizes:
        columns = JsonLines().decode([*records.texts, "{}"])  # no shape fits all of them
        for column in (columns.message, columns.fields, columns.times, columns.levels):
            assert isinstance(column, list)
            column.pop()
        columns.unparsed = [row for row in columns.unparsed if row < len(records.texts)]
        parsed, _ = build(records, columns, ORIGIN, None, NOW_NS)
        return told(parsed), records.end
    reference = Parser(None, wrapping="none").lines(lines, ORIGIN, NOW_NS, closing=True, final=True)
    return told(reference.batches), reference.end


def quick(parser: Parser, data: bytes) -> tuple[list[tuple[Any, ...]], int]:
    """Parse with templates."""
    parsed = parser.parse(data, 0, ORIGIN, NOW_NS, closing=True, final=True)
    return told(parsed.batches), parsed.end


TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["a<b>&c", 'say "x"', "back\\slash", "\\<", "two\nlines", "é", "", "\x7f"])  # fmt: skip
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT  # fmt: skip
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=4)  # fmt: skip
TIME = st.sampled_from([AT, AT, "2026-11-22T09:00:01.5Z", "2026-11-22 09:00:00", "yesterday", 1795338000, 1795338000.25, None])  # fmt: skip
LEVEL = st.sampled_from(["info", "INFO", "Warn", "critical", "odd", 30, None, ""])
TRACES = st.sampled_from([TRACE, TRACE, "0" * 32, "other", "", None, 5])
FIELDS = {"ts": TIME, "level": LEVEL, "msg": TEXT | VALUE, "trace_id": TRACES, "user": TEXT, "n": st.integers(), "x": VALUE, "deep": st.fixed_dictionaries({"k": TEXT, "m": SCALAR})}  # fmt: skip
SHAPE = st.lists(st.sampled_from(sorted(FIELDS)), unique=True, max_size=8)


@st.composite
def a_log(draw: st.DrawFn) -> str:
    """Return lines of a few shapes, mostly one, and now and then something else."""
    shapes = draw(st.lists(SHAPE, min_size=1, max_size=3))
    compact = draw(st.booleans())
    attrs = draw(st.sampled_from(["", "", '"attrs":{"app":"x"},']))
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        names = draw(st.sampled_from([shapes[0], *shapes]))
        value = {name: draw(FIELDS[name]) for name in names}
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=(",", ":") if compact else None)  # fmt: skip
        if draw(st.integers(0, 30)) == 0:
            text = draw(st.sampled_from([text[:-1], f" {text}", f"{text} x", "plain", '{"a":1,"a":2}', "{}"]))  # fmt: skip
        stream = draw(st.sampled_from(["stdout", "stdout", "stderr"]))
        lines.append(docker(text, stream, draw(st.sampled_from([AT, "2026-11-22T09:00:00.5Z"])), attrs))  # fmt: skip
    return "".join(lines)


@settings(max_examples=150, deadline=None)
@given(st.lists(a_log(), min_size=1, max_size=3))
def test_templates_say_what_the_full_parser_says(logs: list[str]) -> None:
    """Logs of any lines, one after another, so that later ones meet the templates of the earlier."""
    parser = Parser(None, wrapping="json-file")
    for log in logs:
        assert quick(parser, log.encode()) == full(log.encode())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_wrong_byte_is_noticed(data: st.DataObject) -> None:
    """A line that differs from the template by any byte is what the full parser makes of it."""
    parser = Parser(None, wrapping="json-file")
    whole = "".join(map(docker, USUAL)).encode()
    quick(parser, whole)
    at = data.draw(st.integers(0, len(whole) - 2))
    piece = data.draw(st.sampled_from([b"", b'"', b'\\"', b"\\", b"\\\\", b",", b"0", b"}", b"{", b"[", b"]", b" ", b"\n", b"\\n", b"\x00", b"\xff", b"\xc3\xa9", b":"]))  # fmt: skip
    broken = whole[:at] + piece + whole[at + data.draw(st.integers(0, 2)) :]
    if not broken.endswith(b"\n"):
        broken += b"\n"

    assert quick(parser, broken) == full(broken)


def test_empty_key_is_a_key() -> None:
    """A field without a name is kept, by a template as by the full parser."""
    log = docker('{"":"2026-11-22T09:00:00.000006Z","msg":"one","n":1}') * 4

    assert quick(Parser(None, wrapping="json-file"), log.encode()) == full(log.encode())


def test_usual_lines_need_no_decoder() -> None:
    """Lines of one shape are taken by its template; of several, by several."""
    reader = WrappedJson(JsonLines())
    other = '{"level":"info","msg":"other -> <b>","ok":true}'
    data = "".join(docker(line) for line in (*USUAL, other, *USUAL, other)).encode()

    wrapped = Wrapped.find(data)
    assert wrapped is not None
    read = reader.read(wrapped, 100, 100 + len(data))

    assert read is not None
    records, columns = read
    assert records.end == 100 + len(data)
    assert records.starts[-1] == 100 + data.rindex(b"\n", 0, -1) + 1
    assert columns.message[:10] == [
        *(f"handled {n}".encode() for n in range(1, 10)),
        b"other -> <b>",
    ]
    assert columns.fields[0] == b'{"logger":"a.B","thread":"w-1","n":1}'
    assert columns.fields[9] == b'{"ok":true}'
    assert columns.traces[0] == f"{1:032x}"
    assert not columns.unparsed


@pytest.mark.parametrize(
    "line",
    [
        '{"a":[1,2]}',  # nothing to hold on to between the numbers
        '{"msg":"a\\nb"}',
        '{"msg":"a\\"b"}',
        '{"msg":"x","msg":"y"}',
        '{"msg":{"deep":1}}',
        '{"msg":"x"',
        "plain",
    ],
)
def test_lines_that_make_no_template(line: str) -> None:
    """They are left to the full parser."""
    assert learn(json.dumps(line)[1:-1].encode()) is None


def test_odd_line_among_usual_ones() -> None:
    """A line with an escape is understood by itself; the others are not held up."""
    odd = '{"ts":"2026-11-22T09:00:00Z","level":"ERROR","msg":"a\\n\\"b\\"","stack":"x"}'
    data = "".join(map(docker, (*USUAL, odd))).encode()

    parsed = Parser(None, wrapping="json-file").parse(data, 0, ORIGIN, NOW_NS, closing=True)

    assert shown(parsed)[-1] == 'e||a\n"b"|{"stack":"x"}'
    assert told(parsed.batches) == full(data)[0]

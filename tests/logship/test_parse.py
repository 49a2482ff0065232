"""Behaviour of parsing: lines in, records out, as ``level|flags|message|fields``."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logship.parse.parser import Parser
from model.log import Flag
from tests.logship.harness import NOW_NS, ORIGIN, REDACTOR, parse, shown, wrap

JAVA = "java.lang.IllegalStateException: bad\n\tat a.B.c(D.java:1)\nCaused by: java.io.IOException: x\n\t... 3 more"  # fmt: skip
PYTHON = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\nValueError: bad'
CHAINED = f"{PYTHON}\n\nDuring handling of the above exception, another exception occurred:\n\n{PYTHON}"  # fmt: skip
GO = "panic: oh no\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:3 +0x1\nexit status 2"
NODE = "TypeError: x is not a function\n    at f (/app/a.js:1:2)\n    at g (/app/b.js:3:4)"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        # plain
        ("hello\n", ["-||hello|"]),
        ("\n", ["-|||"]),
        ("a\r\nb\n", ["-||a|", "-||b|"]),
        ("2026-11-22 09:00:00,123 WARN [w-1] slow\n", ['w||slow|{"thread":"w-1"}']),
        ("\x1b[31mERROR\x1b[0m red\n", ["e||\x1b[31mERROR\x1b[0m red|"]),
        ("an erroneous information\n", ["-||an erroneous information|"]),
        # logfmt
        ('level=warn msg="a \\"b\\" c" user=bob\n', ['w||a "b" c|{"user":"bob"}']),
        ("ts=2026-11-22T09:00:00Z lvl=error msg=x err=\n", ['e||x|{"err":""}']),
        ("a=1 b=2 and then prose\n", ["-|unparsed|a=1 b=2 and then prose|"]),
        ("2 + a=1\n", ["-||2 + a=1|"]),
        # JSON
        ('{"level":"info","msg":"hi","n":1}\n', ['i||hi|{"n":1}']),
        ('{"severity":"CRITICAL","message":"a\\nb","x":{"y":[1,null]}}\n', ['f||a\nb|{"x":{"y":[1,null]}}']),
        ('{"level":30,"msg":"pino"}\n', ["i||pino|"]),
        ('{"a":1}\n', ['-||{"a":1}|{"a":1}']),
        ("{}\n", ["-||{}|"]),
        ('{"msg":{"deep":1}}\n', ['-||{"deep":1}|']),
        ('{"msg":"twice","msg":"last"}\n', ["-||last|"]),
        ('{"time":"9999-01-01T00:00:00Z","msg":"x"}\n', ['-||x|{"time":"9999-01-01T00:00:00Z"}']),
        ('{"ts":1795338000,"msg":"a"}\n{"ts":"soon","msg":"b"}\n', ["-||a|", '-||b|{"ts":"soon"}']),
        ('{"msg":"cut off\n', ['-|unparsed|{"msg":"cut off|']),
        ('{"msg":"a"} {"msg":"b"}\n', ['-|unparsed|{"msg":"a"} {"msg":"b"}|']),
        ('{"msg":"a"}\nplain\n{"msg":"b"}\n', ["-||a|", "-||plain|", "-||b|"]),
        # several lines that are one
        (f"{JAVA}\n", [f"e|multiline|{JAVA}|"]),
        (f"ERROR failed\n{JAVA}\nINFO next\n", [f"e|multiline|ERROR failed\n{JAVA}|", "i||INFO next|"]),
        (f"{PYTHON}\nnext\n", [f"e|multiline|{PYTHON}|", "-||next|"]),
        (f"ERROR it failed\n{CHAINED}\n", [f"e|multiline|ERROR it failed\n{CHAINED}|"]),
        (f"{GO}\nnext\n", [f"f|multiline|{GO}|", "-||next|"]),
        (f"{NODE}\n", [f"e|multiline|{NODE}|"]),
        ("INFO table\n  a  1\n  b  2\n", ["i||INFO table|", "-||  a  1|", "-||  b  2|"]),
        ("\tat a.B.c(D.java:1)\nnext\n", ["-||\tat a.B.c(D.java:1)|", "-||next|"]),
        (f"9 plain\n{JAVA}\n8 plain\n7 WARN odd\n\tat a.B.c(D.java:1)\n", ["-||9 plain|", f"e|multiline|{JAVA}|", "-||8 plain|", "w|multiline|7 WARN odd\n\tat a.B.c(D.java:1)|"]),
        (f"INFO fine\n{PYTHON}\n", ["i||INFO fine|", f"e|multiline|{PYTHON}|"]),
    ],
)  # fmt: skip
def test_lines_become_records(lines: str, want: list[str]) -> None:
    """One table for every format."""
    assert shown(parse(lines)) == want


@pytest.mark.parametrize(
    ("wrapped", "want"),
    [
        (wrap("one\n") + wrap("two\n", "stderr"), ["-||one|", "-||two|"]),
        (wrap("par") + wrap("err\n", "stderr") + wrap("tial\n"), ["-||partial|", "-||err|"]),
        (wrap('{"level":"info",') + wrap('"msg":"joined"}\n'), ["i||joined|"]),
        (wrap("ERROR e\n") + wrap("noise\n", "stderr") + wrap("java.lang.Oops: x\n"),
         ["e|multiline|ERROR e\njava.lang.Oops: x|", "-||noise|"]),
        (wrap("ERROR e\n") + wrap("java.lang.Oops: x\n", at="2026-11-22T09:00:09Z"),
         ["e||ERROR e|", "-||java.lang.Oops: x|"]),
        (wrap("ERROR e\n") + wrap("\tat a(B)\n") + wrap("\tat c(D)\n", "stderr") + wrap("\tat e(F)\n"),
         ["e|multiline|ERROR e\n\tat a(B)\n\tat e(F)|", "-||\tat c(D)|"]),
        (wrap("ERROR e\n") + wrap("\tat a(B)\n") + wrap("\tat c(D)\n", at="2026-11-22T09:00:09Z"),
         ["e|multiline|ERROR e\n\tat a(B)|", "-||\tat c(D)|"]),
        ('{"log":"attrs\\n","stream":"stdout","attrs":{"app":"x"},"time":"2026-11-22T09:00:00Z"}\n', ["-||attrs|"]),
        ('{"log":"torn\\n","stre\n' + wrap("next\n"), ['-|unparsed|{"log":"torn\\n","stre|', "-||next|"]),
        ('{"log":"a\\n"} {"log":"b\\n"}\n\n' + wrap("next\n"), ['-|unparsed|{"log":"a\\n"} {"log":"b\\n"}|', "-|unparsed||", "-||next|"]),
        ('{"log":"a\\n","stream":\n"stdout"}{"log":"b\\n"}\n', ['-|unparsed|{"log":"a\\n","stream":|', '-|unparsed|"stdout"}{"log":"b\\n"}|']),
        ('{"log":"half \\ud83d\\n","stream":"stdout","time":""}\n', ["-||half ?|"]),
    ],
)  # fmt: skip
def test_json_file_wrappers(wrapped: str, want: list[str]) -> None:
    """Docker's wrapper is taken off, 16 KiB partials are joined, streams are kept apart."""
    assert shown(parse(wrapped, wrapping="json-file")) == want


@pytest.mark.parametrize(
    ("line", "ns"),
    [
        ('{"ts":"2026-11-22T09:00:00.123456789Z","msg":"x"}', 1_795_338_000_123_456_789),
        ('{"time":1795338000.25,"msg":"x"}', 1_795_338_000_250_000_000),
        ('{"timestamp":1795338000123,"msg":"x"}', 1_795_338_000_123_000_000),
        ('{"ts":"9999-12-31T00:00:00Z","msg":"x"}', NOW_NS),
        ('{"ts":"1970-01-01T00:00:00Z","msg":"x"}', NOW_NS),
        ('{"ts":"yesterday","msg":"x"}', NOW_NS),
        ("2026-11-22T11:00:00+02:00 hi", 1_795_338_000_000_000_000),
        ('1.2.3.4 - - [22/Nov/2026:09:00:00 +0000] "GET /"', 1_795_338_000_000_000_000),
        ("ts=2026-11-22T09:00:00Z msg=x", 1_795_338_000_000_000_000),
        ("no time", NOW_NS),
    ],
)
def test_time_of_a_record(line: str, ns: int) -> None:
    """Its own time if it can be meant, else as read; nonsense is counted."""
    parsed = parse(line + "\n")

    (batch,) = parsed.batches
    assert int(batch.ts_ns[0]) == ns
    assert bool(batch.flags[0] & Flag.TIME_FROM_READER) == (ns == NOW_NS)
    assert parsed.tally.bad_times == ("9999" in line or "1970" in line)


def test_runtime_time_before_read_time() -> None:
    """A line without a usable time of its own has Docker's."""
    parsed = parse(wrap('{"ts":"9999-12-31T00:00:00Z"}\n'), wrapping="json-file")

    assert int(parsed.batches[0].ts_ns[0]) == 1_795_338_000_500_000_000


@pytest.mark.parametrize("key", ["trace_id", "trace.id", "traceId"])
def test_trace_id(key: str) -> None:
    """A W3C trace id is taken out of the fields; what is none stays there."""
    parsed = parse(f'{{"msg":"x","{key}":"{TRACE}"}}\n{{"msg":"y","{key}":"other"}}\n')

    (batch,) = parsed.batches
    assert batch.trace_ids == {0: TRACE}
    assert shown(parsed)[1] == f'-||y|{{"{key}":"other"}}'


def test_open_record_waits_in_the_file() -> None:
    """A trace that may go on, and half of a 16 KiB line, are left for the next read."""
    trace = f"INFO one\nERROR two\n{JAVA}\n"
    half = wrap("one\n") + wrap("ha")

    open_trace = parse(trace, closing=False, final=False)
    open_half = parse(half, closing=True, final=False, wrapping="json-file")

    assert (shown(open_trace), open_trace.end) == (["i||INFO one|"], len("INFO one\n"))
    assert (shown(open_half), open_half.end) == (["-||one|"], len(wrap("one\n")))


def test_records_behind_an_open_one_wait_too() -> None:
    """What is delivered is everything before the position, whatever the streams do."""
    data = wrap("ERROR open\n") + wrap("later\n", "stderr")

    parsed = parse(data, closing=False, final=False, wrapping="json-file")

    assert (shown(parsed), parsed.end) == ([], 0)


def test_shape_is_learned_and_left() -> None:
    """Lines of another shape, in the same read or later, are parsed like those of the first one."""
    parser = Parser(REDACTOR)
    lines = ['{"level":"info","msg":"a","x":1}', '{"msg":"b","level":"warn"}', '{"level":"error","msg":"c","x":2,"y":3}']  # fmt: skip
    want = ['i||a|{"x":1}', "w||b|", 'e||c|{"x":2,"y":3}']
    for order in ([0, 0, 0], [0, 0, 1], [1, 1, 1], [2, 1, 0], [0, 0, 0]):
        data = "".join(lines[n] + "\n" for n in order).encode()
        parsed = parser.parse(data, 0, ORIGIN, NOW_NS, closing=True)

        assert shown(parsed) == [want[n] for n in order]


def test_a_run_ends_where_the_next_starts() -> None:
    """Lines of one file that two runs wrote carry their runs, in batches that do not overlap."""
    from msgspec.structs import replace

    origin = replace(ORIGIN, run_starts_ns=(1_795_338_000_000_000_000, 1_795_338_005_000_000_000), run_numbers=(7, 8))  # fmt: skip
    data = wrap("a\n") + wrap("b\n", at="2026-11-22T09:00:06Z")
    parsed = Parser(None, wrapping="json-file").parse(data.encode(), 0, origin, NOW_NS, closing=True)  # fmt: skip

    first, second = parsed.batches
    assert (first.run, second.run) == (7, 8)
    assert first.end_offset == second.offsets[0] == len(wrap("a\n"))
    assert second.end_offset == parsed.end


def test_too_long_record_is_cut() -> None:
    """A record of more than 1 MiB is cut on a character, marked, and its size is told."""
    parsed = parse("é" * 600_000 + "\n")

    (batch,) = parsed.batches
    assert batch.flags[0] & Flag.TRUNCATED
    assert batch.original_bytes[0] == 1_200_000
    assert len(batch.text(0).encode()) == 1 << 20
    assert parsed.tally.truncated == 1


@given(st.binary(max_size=300), st.sampled_from(["json-file", "none"]), st.booleans())
def test_no_bytes_raise(garbage: bytes, wrapping: str, closing: bool) -> None:
    """Whatever a file holds, parsing gives UTF-8 records within the bytes read, and valid fields."""
    data = garbage + b"\n"
    parsed = parse(data, closing=closing, final=closing, wrapping=wrapping)

    assert 0 <= parsed.end <= len(data)
    for batch in parsed.batches:
        batch.buf.decode()
        assert (batch.offsets < parsed.end).all()
        for start, end in zip(batch.fields.starts, batch.fields.ends, strict=True):
            assert start == end or isinstance(json.loads(batch.buf[start:end]), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=5), min_size=1, max_size=6))
def test_fields_are_what_the_line_said(values: list[dict[str, object]]) -> None:
    """Spliced fields are equal to the line's own, but for the keys that were understood."""
    data = "".join(json.dumps(value) + "\n" for value in values)
    parser = Parser(None)
    for _ in range(2):  # the second time by the learned shape
        parsed = parser.parse(data.encode(), 0, ORIGIN, NOW_NS, closing=True)
        fields = [
            json.loads(batch.buf[start:end] or b"{}")
            for batch in parsed.batches
            for start, end in zip(batch.fields.starts, batch.fields.ends, strict=True)
        ]
        known = {"t", "ts", "time", "msg", "level", "text", "body", "log", "lvl", "event"}

        assert [{k: v for k, v in own.items() if k not in known} for own in fields] == [
            {k: v for k, v in value.items() if k not in known} for value in values
        ]

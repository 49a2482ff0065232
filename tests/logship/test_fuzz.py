"""Whatever a log holds: parsing never raises, keeps every line, stays quick, and what it gives can be delivered."""

import json
import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logship import ecs
from logship.parse.formats import FORMATS
from logship.parse.parser import Parser
from tests.logship.harness import NOW_NS, ORIGIN, REDACTOR, wrap

DEEP = '{"a":' * 1000 + "1" + "}" * 1000
MIB = 1 << 20
CORPUS = [
    b"\xff\xfe\x00invalid \xc3\x28 utf-8\n",
    b'nul \x00 in \x00 it\n{"msg":"nul \\u0000 in it"}\n',
    b"\x1b[31;1mERROR\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\n",
    b"progress 1%\rprogress 2%\rdone\r\n\r\n\r",
    DEEP.encode() + b"\n",
    b"[" * 100_000 + b"\n" + b"{" * 100_000 + b"\n",
    b'{"a":1,"a":2,"msg":"x","msg":{"a":1},"level":"info","level":5}\n',
    b'{"n":' + b"9" * 5000 + b',"f":1e99999,"g":-0.0,"msg":"x"}\n',
    b'{"@timestamp":"9999-99-99T99:99:99Z","msg":"x"}\n{"@timestamp":{"a":1},"msg":"x"}\n{"@timestamp":[],"msg":"x"}\n{"@timestamp":1e400,"msg":"x"}\n{"@timestamp":-1,"msg":"x"}\n{"@timestamp":"","msg":"x"}\n',
    b'{"level":null,"msg":null,"trace.id":5,"@timestamp":true}\n{"":""}\n{"\\ud800":"\\ud800"}\n',
    b'{"msg":"half \\ud83d"}\n{"msg":"\\u0000\\u001f\\u007f"}\n',
    b'level=info msg="open quote\nlevel=info msg="a\\"b" =x ==\na=b c="\\q\\u12"\n',
    b"2026-11-22 10:00:00 INFO [" + b"a" * 70_000 + b"] x - y\n",
    b"9999999999999999999 x\n00:00:00\n0000-00-00 00:00:00\nI9999 99:99:99.9 1 a.go:1] x\nFeb 30 25:61:61 x\n",
    b'1.1.1.1 - - [99/Xxx/9999:99:99:99 +9999] "' + b"\\" * 9999 + b'" 999 99999999999999999999999999\n',
    b"Traceback (most recent call last):\n" + b"  x\n" * 5000,
    b"java.lang.Oops: x\n" + b"\tat a.B.c(D.java:1)\n" * 5000,
    b"panic: x\n" + b"\n" * 5000 + b"goroutine 1 [running]:\n",
    b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 64 + b"\n",
    b"x" * (MIB + 100) + b"\n" + b'{"msg":"' + b"y" * (MIB + 100) + b'"}\n',
    ("é" * MIB).encode() + b"\n",
    b"app.rb:3:in `f': x (E)\n" + b"\tfrom a.rb:1:in `g'\n" * 3000,
    b"<13>" * 1000 + b"\n" + b"[" * 500 + b"INFO" + b"]" * 500 + b" x\n",
    b"INFO " * 20_000 + b"\n" + b" - " * 20_000 + b"\n",
]  # fmt: skip
FORMS = sorted(set(FORMATS.values()))


def whole(parser: Parser, data: bytes) -> list[bytes]:
    """Return the documents of all there is."""
    parsed = parser.parse(data, 0, ORIGIN, NOW_NS, closing=True, final=True)

    assert parsed.end == len(data)
    documents = [document for batch in parsed.batches for document in ecs.documents(batch)]
    for document in documents:
        text = document.decode()
        if (
            len(text) < 50_000 and '{"a":{"a":{"a"' not in text
        ):  # json itself gives up at a depth of 1,000
            json.loads(text, parse_int=str)
    for batch in parsed.batches:
        for start, end in zip(
            batch.message.starts.tolist(), batch.message.ends.tolist(), strict=True
        ):
            batch.buf[start:end].decode()
        assert (batch.offsets[1:] > batch.offsets[:-1]).all()
    return documents


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_corpus(number: int) -> None:
    """In every format, plain and in Docker's wrapper; no line takes seconds."""
    data = CORPUS[number]
    lines = data.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    wrapped = "".join(wrap(line.encode("utf-8", "replace").decode()) for line in lines).encode()
    started = time.process_time()
    for form in FORMS:
        assert whole(Parser(REDACTOR, format=form), data)
    assert whole(Parser(REDACTOR, wrapping="json-file"), wrapped)

    assert time.process_time() - started < 20.0


WORDS = st.sampled_from(["INFO", "error", "[main]", "[", "]", "{", "}", " - ", ": ", "\t", '"', "\\", "=", "a=b", "2026-11-22 10:00:00", "10:00:00.1", "Nov 22 10:00:00", "x.Y", "Traceback (", "panic: ", "\tat a(B)", "  x", "é", "\x00", "\x1b[0m", "\r", "I1122 10:00:00.1 1 a.go:1] ", "password=x1y2", "4111111111111111", "trace_id=0af7651916cd43dd8448eb211c80319c", '{"msg":"', '"}', "1" * 30])  # fmt: skip
LINES = st.lists(
    st.lists(WORDS | st.text(max_size=3), max_size=6).map("".join), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(LINES, st.sampled_from(FORMS), st.booleans())
def test_no_line_is_lost(lines: list[str], form: str, wrapped: bool) -> None:
    """Each non-empty line is in some record; reading the same again gives the same."""
    texts = [line.replace("\n", " ").encode("utf-8", "replace").decode() for line in lines]
    data = "".join(wrap(f"{text}\n") if wrapped else f"{text}\n" for text in texts).encode()

    def read() -> list[bytes]:
        return whole(Parser(None, format=form, wrapping="json-file" if wrapped else "none"), data)  # type: ignore[arg-type]  # sampled from the formats

    first = read()

    assert first == read()
    joined = sum(orjson.loads(document)["message"].count("\n") for document in first)
    assert len(first) + joined <= len(texts) + sum("\\n" in text for text in texts)
    assert first


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=60), max_size=8),
    st.sampled_from(["json-file", "cri", "none", "auto"]),
    st.integers(0, 400),
)
def test_cut_anywhere(parts: list[bytes], wrapping: str, cut: int) -> None:
    """A file that grows is read in two steps as in one, wherever the first ended."""
    data = b"".join(part + b"\n" for part in parts)
    parser = Parser(None, wrapping=wrapping)  # type: ignore[arg-type]  # sampled from its words
    first = data[: data.rfind(b"\n", 0, cut) + 1]
    parsed = parser.parse(first, 0, ORIGIN, NOW_NS, closing=False)

    assert 0 <= parsed.end <= len(first)
    rest = parser.parse(data[parsed.end :], parsed.end, ORIGIN, NOW_NS, closing=True, final=True)
    assert rest.end == len(data)

"""The layouts that programs write, as ``level|flags|message|fields``, and the times they carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logship.parse import timestamps
from logship.parse.formats import FORMATS
from logship.parse.parser import Parser
from model.log import Flag
from tests.logship.harness import NOW_NS, ORIGIN, parse, shown, wrap

TRACE = "0af7651916cd43dd8448eb211c80319c"
RUBY = "app.rb:3:in `f': no such thing (RuntimeError)\n\tfrom app.rb:9:in `block in g'\n\tfrom app.rb:12:in `<main>'"
RUBY_34 = "app.rb:3:in 'Integer#/': divided by 0 (ZeroDivisionError)\n\tfrom app.rb:3:in '<main>'"
RAILS = "NoMethodError (undefined method `x' for nil:NilClass):\n\napp/controllers/a.rb:5:in `show'\napp/b.rb:1:in `call'"
DOTNET = "Unhandled exception. System.InvalidOperationException: bad\n ---> System.IO.IOException: inner\n   at P.Read() in /src/P.cs:line 4\n   --- End of inner exception stack trace ---\n   at P.Main() in /src/P.cs:line 9"


@pytest.mark.parametrize(
    ("line", "want"),
    [
        # Java
        ("2026-11-22 10:00:00.123  INFO 12345 --- [           main] com.example.App       : Started App",
         'i||Started App|{"logger":"com.example.App","pid":12345,"thread":"main"}'),
        ("2026-11-22T10:00:00.123+01:00  WARN 1 --- [my-app] [nio-1] o.s.w.PageNotFound  : No mapping",
         'w||No mapping|{"logger":"o.s.w.PageNotFound","pid":1,"thread":"nio-1","context":"my-app"}'),
        ("2026-11-22 10:00:00,123 INFO [worker-21] com.example.Consumer - handled GET",
         'i||handled GET|{"logger":"com.example.Consumer","thread":"worker-21"}'),
        ("10:00:00.123 [main] DEBUG c.e.Foo - hello - world", 'd||hello - world|{"logger":"c.e.Foo","thread":"main"}'),
        # Python
        ("2026-11-22 10:00:00,123 - my.module - ERROR - it failed: x", 'e||it failed: x|{"logger":"my.module"}'),
        ("WARNING:my.app:careful", 'w||careful|{"logger":"my.app"}'),
        ("[2026-11-22 10:00:00 +0000] [12] [INFO] Listening at: http://x (12)", 'i||Listening at: http://x (12)|{"pid":12}'),
        ("2026-11-22 10:00:00.123 | INFO     | app.main:run:12 - loguru", 'i||loguru|{"logger":"app.main:run:12"}'),
        # Go, Rust
        ("2026-11-22T10:00:00.123Z\tINFO\tmain/main.go:12\tstarted", 'i||started|{"logger":"main/main.go:12"}'),
        ("I1122 10:00:00.123456       1 main.go:10] hello", 'i||hello|{"pid":1,"file":"main.go","line":10}'),
        ('E1122 10:00:00.123456 7 a.go:8] "Failed" err="not found" n=2', 'e||Failed|{"pid":7,"file":"a.go","line":8,"err":"not found","n":"2"}'),
        ("[2026-11-22T10:00:00Z INFO  my_crate::module] env_logger", 'i||env_logger|{"logger":"my_crate::module"}'),
        ("2026-11-22T10:00:00.123456Z  WARN my_crate::module: tracing", 'w||tracing|{"logger":"my_crate::module"}'),
        # servers
        ("2026/11/22 10:00:00 [error] 12#12: *1 open() failed", 'e||*1 open() failed|{"pid":"12#12"}'),
        ("2026-11-22 10:00:00.123 UTC [123] LOG:  database is ready", 'i||database is ready|{"pid":123}'),
        ('127.0.0.1 - bob [22/Nov/2026:10:00:00 +0100] "GET /a?b=c HTTP/1.1" 500 2326 "http://x/" "Mozilla/5.0"',
         'e||GET /a?b=c HTTP/1.1 500|{"client":"127.0.0.1","user":"bob","status":500,"bytes":2326,"referrer":"http://x/","user_agent":"Mozilla/5.0","method":"GET","path":"/a?b=c","http_version":"1.1"}'),
        ('::1 - - [22/Nov/2026:10:00:00 +0000] "POST /x HTTP/2.0" 204 -',
         'i||POST /x HTTP/2.0 204|{"client":"::1","status":204,"method":"POST","path":"/x","http_version":"2.0"}'),
        # a level and no more
        ("2026-11-22 10:00:00 ERROR it broke", "e||it broke|"),
        ("[INFO] building", "i||building|"),
        # what is prose stays whole
        ("2026/11/22 10:00:00 listening on :8080", "-||2026/11/22 10:00:00 listening on :8080|"),
        ("ERROR something bad: yes", "e||ERROR something bad: yes|"),
        ("the INFO desk - closed", "i||the INFO desk - closed|"),
        ("panic: no", "-||panic: no|"),
    ],
)  # fmt: skip
def test_layouts(line: str, want: str) -> None:
    """One line of a stream is enough where nothing else writes so."""
    found = shown(parse(line + "\n"))

    assert found[0] == want.replace("-||panic", "f||panic")


@pytest.mark.parametrize("trace", [RUBY, RUBY_34, RAILS, DOTNET])
def test_traces_of_ruby_and_dotnet(trace: str) -> None:
    """They are one record, alone and behind the line that announces them."""
    alone = parse(f"{trace}\nnext\n")
    announced = parse(f"ERROR it failed\n{trace}\n2026-11-22 09:00:00 INFO next\n")

    assert shown(alone) == [f"e|multiline|{trace}|", "-||next|"]
    assert shown(announced)[0].startswith(f"e|multiline|ERROR it failed\n{trace}"), shown(announced)


def test_dotnet_console_logger() -> None:
    """Head and indented message are one record, with the category as its logger."""
    lines = "info: A.B.C[14]\n      Now listening on: http://[::]:80\nfail: A.B[0]\n      It failed\n      System.Exception: x\n         at A.B()\n"

    assert shown(parse(lines)) == [
        'i|multiline|Now listening on: http://[::]:80|{"logger":"A.B.C","event_id":14}',
        'e|multiline|It failed\nSystem.Exception: x\n   at A.B()|{"logger":"A.B","event_id":0}',
    ]


def test_layout_is_remembered_and_found_anew() -> None:
    """A read of one doubtful line is understood by what the stream has shown; another layout is noticed."""
    parser = Parser(None)

    def read(*lines: str) -> list[str]:
        return shown(
            parser.parse(
                "".join(f"{line}\n" for line in lines).encode(), 0, ORIGIN, NOW_NS, closing=True
            )
        )

    first = read("2026-11-22 09:00:00 INFO [a] x.Y - one")
    doubtful = read("2026-11-22 09:00:01 INFO [b] Root - two")
    stranger = read("2026-11-22 09:00:01 something else")
    klog = ["I1122 10:00:00.123456       1 main.go:10] hello"] * 20
    read(*klog)
    read(*klog)
    after = read(*klog)

    assert first == ['i||one|{"logger":"x.Y","thread":"a"}']
    assert doubtful == ['i||two|{"logger":"Root","thread":"b"}']
    assert stranger == ["-||2026-11-22 09:00:01 something else|"]
    assert after == ['i||hello|{"pid":1,"file":"main.go","line":10}'] * 20


@pytest.mark.parametrize(("form", "line", "unparsed"), [
    ("access", "hello", True),
    ("klog", "I1122 10:00:00.123456 1 a.go:1] x", False),
    ("pattern", "2026-11-22 10:00:00 INFO x.Y - a", False),
    ("pattern", "no head at all", True),
    ("json", "hello", True),
    ("json", '{"a":1}', False),
    ("logfmt", "hello", True),
    ("plain", '{"a":1}', False),
])  # fmt: skip
def test_a_format_that_was_said(form: str, line: str, unparsed: bool) -> None:
    """Lines of another form stay whole and are counted."""
    parsed = parse(line + "\n", format=FORMATS[form])

    assert parsed.tally.unparsed == unparsed
    if unparsed or form == "plain":
        assert parsed.batches[0].text(0) == line


def test_wrapped_text_is_what_text_is() -> None:
    """Lines in Docker's wrapper, escapes and all, are read as the same lines without it."""
    lines = ['2026-11-22 09:00:00 INFO [a] x.Y - <one> & "two"', "2026-11-22 09:00:00 ERROR [a] x.Y - bad", "java.lang.Oops: x", "\tat a.B.<init>(C.java:1)", "\tat a.B.c(C.java:2)",
             "Caused by: java.io.IOException: ü", "\t... 3 more", "", "\x1b[31mred\x1b[0m", "back\\slash \\n", "2026-11-22 09:00:00 INFO [a] x.Y - last"]  # fmt: skip
    plain = parse("".join(f"{line}\n" for line in lines))
    wrapped = parse("".join(map(wrap, (f"{line}\n" for line in lines))), wrapping="json-file")

    assert shown(wrapped) == shown(plain)
    assert len(shown(plain)) == 6


def test_trace_ids_of_text() -> None:
    """They are found in the message and in the head, not within longer words."""
    lines = [f"2026-11-22 09:00:00 INFO [a] x.Y - done trace_id={TRACE}", f"2026-11-22 09:00:00 INFO [traceId={TRACE}] x.Y - done", f"2026-11-22 09:00:00 INFO [a] x.Y - backtrace_id={TRACE}", f"2026-11-22 09:00:00 INFO [a] x.Y - trace_id={'0' * 32}"]  # fmt: skip
    (batch,) = parse("".join(f"{line}\n" for line in lines)).batches

    assert batch.trace_ids == {0: TRACE, 1: TRACE}


@pytest.mark.parametrize(("text", "want"), [
    ("2026-11-22T10:00:00.123456789Z x", 1_795_341_600_123_456_789),
    ("2026-11-22T10:00:00,5+02 x", 1_795_334_400_500_000_000),
    ("2026-11-22 10:00:00 -0700", 1_795_366_800_000_000_000),
    ("2026-11-22 10:00:00 - a", 1_795_341_600_000_000_000),
    ("2026-11-22 10:00 x", 1_795_341_600_000_000_000),
    ("2026-11-22, 10:00:00 UTC", 1_795_341_600_000_000_000),
    ("I1122 10:00:00.123456    12 a.go:3] x", 1_795_341_600_123_456_000),
    ("Nov 22 10:00:00 host x: y", 1_795_341_600_000_000_000),
    ("<13>Nov 22 10:00:00 host", 1_795_341_600_000_000_000),
    ("Dec 31 23:59:59 h x", 1_767_225_599_000_000_000),
    ("Sun, 22 Nov 2026 10:00:00 GMT", 1_795_341_600_000_000_000),
    ("[Sun Nov 22 10:00:00.123456 2026] [core:notice]", 1_795_341_600_123_456_000),
    ("22-Nov-2026 10:00:00.123 INFO [main]", 1_795_341_600_123_000_000),
    ("1:M 22 Nov 2026 10:00:00.123 * Ready", 1_795_341_600_123_000_000),
    ("22.11.2026 10:00:00 x", 1_795_341_600_000_000_000),
    ("20261122T100000Z", 1_795_341_600_000_000_000),
    ("20261122T100000+0200", 1_795_334_400_000_000_000),
    ("10:00:00.123 [main]", 1_795_341_600_123_000_000),
    ("23:59:59 x", 1_795_305_599_000_000_000),
    ("Nov 22, 2026 10:00:00 PM org.apache", 1_795_384_800_000_000_000),
    ("99:99:99 x", timestamps.NO_TIME),
    ("Feb 30 10:00:00 x", timestamps.NO_TIME),
    ("2026-02-30T10:00:00Z", timestamps.NO_TIME),
    ("hello there", timestamps.NO_TIME),
])  # fmt: skip
def test_times(text: str, want: int) -> None:
    """Every usual form, to the nanosecond; without year or date the one before the time of reading."""
    assert timestamps.scalar(text, NOW_NS) == want
    assert timestamps.column([text] * 20, NOW_NS).tolist() == [want] * 20


TIME = st.builds(lambda s, f: f"2026-11-22T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}{f}Z", st.integers(0, 86_399), st.sampled_from(["", ".5", ".25", ".123456789", ".000000001"]))  # fmt: skip


@given(st.lists(TIME, min_size=9, max_size=20))
def test_times_that_lack_zeros_at_their_ends(texts: list[str]) -> None:
    """Go leaves them out; whole columns are read as each alone."""
    import numpy as np

    chars = np.array([text.encode() for text in texts]).view(np.uint8).reshape(len(texts), -1)
    read = timestamps.padded(chars)

    assert read is None or read.tolist() == [timestamps.scalar(text) for text in texts]


def test_time_of_the_runtime_is_marked() -> None:
    """A line without a time of its own has the runtime's, and says so."""
    own, without = (
        parse(wrap("2026-11-22 09:00:00 INFO x\n") + wrap("x\n"), wrapping="json-file")
        .batches[0]
        .flags
    )

    assert not own & Flag.TIME_FROM_RUNTIME
    assert without & Flag.TIME_FROM_RUNTIME

"""What of a message stands out for a query."""

import time

import pytest

from storage.logquery import parse
from storage.logquery.highlight import highlights, marked


@pytest.mark.parametrize(
    ("query", "message", "want"),
    [
        ("timeout", "Timeout after 5 s; timeouts are rare", ["Timeout"]),
        ('"connection refused"', "connection: refused, connection refused", ["connection: refused", "connection refused"]),
        ("time*", "timed out, lifetime, TIME", ["timed", "TIME"]),
        ("t?me", "time tame me", ["time", "tame"]),
        ("/order-[0-9]+/", "order-17 and ORDER-18", ["order-17"]),
        ("a OR b", "a b c", ["a", "b"]),
        ("a NOT b", "a b", ["a"]),
        ("level:error größe", "die GRÖSSE, die Größe", ["Größe"]),
        ('"c++"', "c++ code", ["c"]),
    ],
)  # fmt: skip
def test_what_stands_out(query: str, message: str, want: list[str]) -> None:
    """Words, phrases, wildcards and patterns of the message; nothing that is excluded."""
    pattern = marked(parse(query))

    assert pattern is not None
    assert [match[0] for match in pattern.finditer(message)] == want


@pytest.mark.parametrize("query", ["", "level:error", "NOT timeout", "app:shop host:*"])
def test_nothing_stands_out_without_words(query: str) -> None:
    """Fields are not in the message."""
    assert highlights(parse(query)) == []
    assert marked(parse(query)) is None


@pytest.mark.parametrize("query", ["/(a+)+$/", "/(a|a)*b/", "/.*.*.*=/", "a*b*c*d*e"])
def test_patterns_that_could_take_for_ever_are_left_out(query: str) -> None:
    """The store takes them, RE2 is linear; a terminal or a browser might hang."""
    began = time.monotonic()
    pattern = marked(parse(f"{query} OR word"))
    assert pattern is not None
    found = [match[0] for match in pattern.finditer("a" * 5000 + " word")]

    assert found == ["word"]
    assert time.monotonic() - began < 1

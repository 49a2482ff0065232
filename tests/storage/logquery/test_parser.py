"""Log queries: text to tree, and what people are told when it is wrong."""

import pytest

from model.errors import ParseError
from storage.logquery import parse
from storage.logquery.nodes import (
    All,
    And,
    Exists,
    Node,
    Not,
    Or,
    Phrase,
    Range,
    Regex,
    Term,
    Wildcard,
)

M = "message"
A = Term(M, "a")
B = Term(M, "b")
C = Term(M, "c")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", All()),
        ("  *  ", All()),
        ("a", A),
        ("a b", And((A, B))),
        ("a AND b && c", And((A, B, C))),
        ("a OR b || c", Or((A, B, C))),
        ("a OR b c", Or((A, And((B, C))))),
        ("(a OR b) c", And((Or((A, B)), C))),
        ("(a b) c", And((A, B, C))),
        ("-a", Not(A)),
        ("NOT a b", And((Not(A), B))),
        ("!a OR +b", Or((Not(A), B))),
        ("NOT (a OR b)", Not(Or((A, B)))),
        ("a -b", And((A, Not(B)))),
        ("a-b", Term(M, "a-b")),
        ('"connection refused"', Phrase(M, "connection refused")),
        (r'"say \"hi\" \\"', Phrase(M, r'say "hi" \ '.strip())),
        ("app:shop", Term("service.name", "shop")),
        ("service.name:shop", Term("service.name", "shop")),
        ("message:a", A),
        ('app:"my shop"', Term("service.name", "my shop")),
        ('app:""', Not(Exists("service.name"))),
        ("app:*", Exists("service.name")),
        ("image:shop:1.2", Term("container.image.name", "shop:1.2")),
        (r"12\:30", Term(M, "12:30")),
        ("12:30", Term(M, "12:30")),
        ("task_id:abc*", Wildcard("taskscope.task.id", "abc*")),
        (r"task_id:a\*b?", Wildcard("taskscope.task.id", r"a\*b?")),
        ("conn*", Wildcard(M, "conn*")),
        ("/api/users", Term(M, "/api/users")),
        ("/time.?out/", Regex(M, "time.?out")),
        ("app:/s.*p/ a", And((Regex("service.name", "s.*p"), A))),
        ("level:WARNING", Term("log.level", "warn")),
        ("level:none", Not(Exists("log.level"))),
        ("level:>=error", Or((Term("log.level", "error"), Term("log.level", "fatal")))),
        ("level:<debug", Term("log.level", "trace")),
        ("level:>fatal", Not(All())),
        ("app:(x OR y)", Or((Term("service.name", "x"), Term("service.name", "y")))),
        ("fields.status:>=500", Range("fields.status", "500", None)),
        ("fields.status:< 500", Range("fields.status", None, "500", include_high=False)),
        ("fields.status:[400 TO 499]", Range("fields.status", "400", "499")),
        (
            'fields.status:{400 TO "5 00"}',
            Range("fields.status", "400", "5 00", include_low=False, include_high=False),
        ),
        ("fields.status:[* TO *]", Exists("fields.status")),
        ("fields.n:-5", Term("fields.n", "-5")),
        ("run:2", Term("taskscope.task.run", "2")),
        ("run:02", Term("taskscope.task.run", "2")),
        ("status:>=500", Range("fields.status", "500", None)),
        ("user.id:x", Term("fields.user.id", "x")),
        ("fields.lvel:x", Term("fields.lvel", "x")),
        ("trace.id:abc*", Wildcard("trace.id", "abc*")),
        ("@timestamp:>2026-01-31", Range("@timestamp", "2026-01-31", None, include_low=False)),
        ("größe", Term(M, "größe")),
        ("oder", Term(M, "oder")),
    ],
)
def test_text_gives_tree(text: str, want: Node) -> None:
    """Each form of the language gives its tree, fields resolved and levels normalised."""
    assert parse(text) == want


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("a (b", 2, "never closed"),
        ("a b)", 3, "closing bracket"),
        ('x "abc', 2, "quote is never closed"),
        ("AND a", 0, "AND needs a term before it"),
        ("&&", 0, "&& needs a term before it"),
        ("a OR OR b", 5, "OR needs a term before it"),
        ("a AND", 5, "ends where a term is expected"),
        ("NOT", 3, "ends where a term is expected"),
        ("()", 1, "term is expected"),
        ("lvel:error", 0, "did you mean level?"),
        ("error: bad", 0, 'goes in quotes: "error:"'),
        ("see http://host/", 4, 'goes in quotes: "http://..."'),
        ("event.created:>2026-01-01", 0, "cannot be searched"),
        ("run:first", 4, "is no whole number"),
        ("run:1*", 4, "is no whole number"),
        ("run:>=x", 4, "is no whole number"),
        ("app: shop", 0, "app: needs a value"),
        ("level:eror", 6, "did you mean error?"),
        ("level:[info TO eror]", 6, "is no level"),
        ("a --b", 2, "is no operator"),
        ("app:(x y:z)", 7, "inside the brackets of service.name"),
        ("app:/s(/", 4, "RE2"),
        ("fields.x:[1 to 2]", 9, "[low TO high]"),
        ("fields.x:>", 9, "> needs a value"),
        ("@timestamp:5", 11, "takes a range"),
        ("@timestamp:>noon", 11, "is no time"),
        ("a \\", 2, "backslash"),
        ('""', 0, "nothing between the quotes"),
        ("(" * 100, 64, "levels of brackets"),
        ("a" * 20_000, 0, "longer than"),
    ],
)
def test_wrong_text_is_answered_with_place_and_advice(text: str, position: int, words: str) -> None:
    """What cannot be parsed names the character and says what is wrong or would be right."""
    with pytest.raises(ParseError) as caught:
        parse(text)

    assert words in str(caught.value)
    assert caught.value.start == position
    assert caught.value.end >= position

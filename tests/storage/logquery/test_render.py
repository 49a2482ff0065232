"""Trees back to text, and to Lucene."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import ParseError
from storage.logquery import parse
from storage.logquery.lucene import to_lucene
from storage.logquery.nodes import (
    MESSAGE,
    All,
    Exists,
    Node,
    Not,
    Phrase,
    Range,
    Regex,
    Term,
    Wildcard,
    conjunction,
    disjunction,
)
from tests.storage.logquery.render import to_text

FIELDS = st.sampled_from(["service.name", "fields.status", "fields.a-b.c", "event.dataset"])
TEXTS = st.text(min_size=1, max_size=12).filter(lambda t: not any(c.isspace() for c in t))
QUOTABLE = st.text(min_size=1, max_size=12)
WILD = st.text(alphabet='ab-:" (/\\[', max_size=4).map(lambda t: t.replace("\\", "\\\\") + "x*")
LEAVES = st.one_of(
    st.builds(Term, st.just(MESSAGE), TEXTS),
    st.builds(Phrase, st.just(MESSAGE), QUOTABLE),
    st.builds(Term, FIELDS, QUOTABLE),
    st.builds(Wildcard, st.one_of(FIELDS, st.just(MESSAGE)), WILD),
    st.builds(Regex, FIELDS, st.sampled_from(["a+", "x/y", r"\d\.", "(a|b)"])),
    st.builds(Range, FIELDS, QUOTABLE, st.one_of(st.none(), QUOTABLE), st.booleans()),
    st.builds(Exists, FIELDS),
)


def _joined(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(children, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda c: conjunction(*c)),
        several.map(lambda c: disjunction(*c)),
        st.builds(Not, children),
    )


NODES: st.SearchStrategy[Node] = st.recursive(
    st.one_of(LEAVES, st.just(All())), _joined, max_leaves=8
)


@given(NODES)
@settings(deadline=None)
def test_tree_survives_text(node: Node) -> None:
    """Any tree written as text parses to the same tree."""
    assert parse(to_text(node)) == node


@given(st.text(alphabet='ab:"()*?\\/<>=[]{}-+!& \u00e9$ANDORT.', max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_parses_or_is_refused_with_a_position(text: str) -> None:
    """No input makes anything but a tree or a ParseError whose position is in the text."""
    refused = None
    node: Node = All()
    try:
        node = parse(text)
    except ParseError as error:
        refused = error

    if refused:
        assert 0 <= refused.start <= refused.end <= len(text)
    else:
        assert parse(to_text(node)) == node


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", "*:*"),
        ("refused", "message:refused"),
        ("a b", "message:a AND message:b"),
        ("a OR b c", "message:a OR (message:b AND message:c)"),
        ("app:shop -stream:stderr", "service.name:shop AND (*:* AND NOT taskscope.stream:stderr)"),
        ('"connection refused"', 'message:"connection refused"'),
        ("connection-refused", 'message:"connection-refused"'),
        ("level:>=error", "log.level:error OR log.level:fatal"),
        ("task_id:abc*", "taskscope.task.id:abc*"),
        (r"fields.path:/a/<b*", r"fields.path:\/a\/?b*"),
        ("fields.status:>=500", "fields.status:[500 TO *]"),
        ("fields.status:{1 TO 2]", "fields.status:{1 TO 2]"),
        ("fields.a-b:x", r"fields.a\-b:x"),
        ("fields.x:*", "_exists_:fields.x"),
        ("app:/a\\/b/", "service.name:/a\\/b/"),
        ('app:"say \\"x\\""', 'service.name:"say \\"x\\""'),
        ("app:TO", 'service.name:"TO"'),
    ],
)
def test_lucene(text: str, want: str) -> None:
    """Each node has its form in Lucene, with every operator said and everything special quoted."""
    assert to_lucene(parse(text)) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("app:$app", "service.name:$app"),
        ("app:${app:lucene}", "service.name:${app:lucene}"),
        ("app:$app-x", 'service.name:"$app-x"'),
    ],
)
def test_variables_are_kept_only_where_asked(text: str, want: str) -> None:
    """A Grafana variable stays bare in a dashboard's query and is plain text in anybody else's."""
    assert to_lucene(parse(text), keep_variables=True) == want
    assert '"' in to_lucene(parse(text))

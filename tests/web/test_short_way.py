"""Queries that do not pass Flask are read, judged, answered and counted as those that do."""

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from werkzeug.wrappers import Request

from promql.engine import Engine
from tests.fakes.store import MemoryStore
from tests.web.conftest import bare_parts
from web.app import create_app
from web.short_way import form_of

FORM = "application/x-www-form-urlencoded"
# what a pair may be made of: escapes, broken ones, those of bytes that are no UTF-8, separators
PIECES = st.sampled_from(
    [b"query", b"time", b"a", b"=", b"&", b"+", b"%", b"%2", b"%41", b"%ff", b"%C3%A9", b";", b" ", b"["]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map(b"".join)


def environ_of(query: bytes, body: bytes | None) -> dict[str, Any]:
    """Return a request as waitress hands it on."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET" if body is None else "POST",
        "QUERY_STRING": query.decode("latin-1"),
        "PATH_INFO": "/api/v1/query",
        "wsgi.input": BytesIO(body or b""),
    }
    if body is not None:
        environ |= {"CONTENT_TYPE": FORM, "CONTENT_LENGTH": str(len(body))}
    return environ


@given(TEXTS, st.none() | TEXTS)
def test_parameters_are_those_that_werkzeug_reads(query: bytes, body: bytes | None) -> None:
    """Names, values and their order are the same."""
    want = Request(environ_of(query, body)).values.to_dict(flat=False)
    form = form_of(environ_of(query, body))

    assert {name: form.texts(name) for name in want} == want


def client_of(*, short: bool) -> tuple[FlaskClient, CollectorRegistry]:
    """Return a client of an app with a store, with or without the short way, and what it counts."""
    registry = CollectorRegistry()
    app = create_app(bare_parts(queryable=MemoryStore(), engine=Engine()), registry)
    if not short:
        app.wsgi_app = type(app).wsgi_app.__get__(app)  # type: ignore[method-assign]
    client = app.test_client()
    client.environ_base["HTTP_HOST"] = "localhost:80"
    return client, registry


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "query?query=1%2B1&time=5", {}),
        ("GET", "query?query=sum(", {}),
        ("GET", "query", {}),
        ("GET", "query?query=up&time=never", {}),
        ("GET", "query?query=up&timeout=-1", {}),
        ("GET", "query_range?query=vector(1)&start=0&end=60&step=15", {}),
        ("GET", "query_range?query=vector(1)&start=60&end=0&step=15", {}),
        ("GET", "query_range?query=%22text%22&start=0&end=60&step=15", {}),
        ("POST", "query", {"data": {"query": "vector(1)", "time": "5"}}),
        ("POST", "query?time=7", {"data": {"query": "vector(1)", "time": "5"}}),
        ("POST", "query_range", {"data": {"query": "vector(time())", "start": "0", "end": "60", "step": "15"}}),
        ("POST", "query", {"data": b"query=vector(1)", "content_type": "text/plain"}),
        ("POST", "query", {"data": {"query": "1 + " * 20_000 + "1", "time": "5"}}),
        ("PUT", "query", {"data": {"query": "1"}}),
        ("HEAD", "query?query=1&time=5", {}),
        ("OPTIONS", "query", {}),
        ("GET", "query?query=1&time=5", {"headers": {"Host": "evil.example"}}),
        ("GET", "query?query=1&time=5", {"headers": {"Sec-Fetch-Site": "cross-site"}}),
        ("GET", "query?query=1&time=5", {"headers": {"Origin": "http://evil.example"}}),
        ("GET", "query/?query=1", {}),
    ],
)  # fmt: skip
def test_both_ways_answer_the_same(method: str, path: str, options: dict[str, Any]) -> None:
    """Status, headers and body do not tell which way a request took, and it is counted once."""
    answers, counts = [], []
    for short in (True, False):
        client, registry = client_of(short=short)
        answer = client.open(f"/api/v1/{path}", method=method, **options)
        answers.append((answer.status_code, sorted(answer.headers), answer.get_data()))
        counts.append([
            sample for metric in registry.collect() for sample in metric.samples if sample.name == "taskscope_web_requests_total"
        ])  # fmt: skip

    assert answers[0] == answers[1]
    assert counts[0] == counts[1]
    assert [sample.value for sample in counts[0]] == [1]


def test_a_store_that_fails_is_an_internal_error_and_written_to_the_log(caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """The client reads one sentence, the operator the trace."""

    class Broken(MemoryStore):
        def select(self, *_: object, **__: object) -> Any:
            raise RuntimeError("a wire came off")

    app = create_app(bare_parts(queryable=Broken(), engine=Engine()), CollectorRegistry())
    answer = app.test_client().get("/api/v1/query?query=up", headers={"Host": "localhost:80"})

    assert answer.status_code == 500
    assert answer.get_json()["errorType"] == "internal"
    assert "a wire came off" in caplog.text

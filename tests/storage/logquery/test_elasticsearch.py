"""The same query as Lucene on a real Elasticsearch finds the same records as the embedded store."""

import json
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from logship.sink.elasticsearch.client import Connection, connect
from logship.sink.elasticsearch.server import look
from logship.sink.elasticsearch.template import component
from storage.interface import LogQuery
from storage.logdb.logdb import LogDb
from storage.logquery import parse, to_lucene
from tests.storage.logdb.logs import make_batch, make_db

pytestmark = pytest.mark.elasticsearch

RECORDS = [
    ("GET /orders refused by shop", "info", '{"status": 500, "path": "/orders", "a": {"b": "x"}}'),
    ("Connection: REFUSED after 3 tries", "error", '{"status": 404, "tags": ["x", "y"]}'),
    ("connection-pool ok", "warn", '{"status": 200, "ok": true}'),
    ("refused_twice", "", ""),
    ("Grüße aus Köln", "fatal", '{"note": "a b"}'),
]


def _call(url: str, method: str, body: str = "", kind: str = "application/json") -> Any:
    request = urllib.request.Request(
        url, body.encode() or None, {"Content-Type": kind}, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def both(
    elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LogDb, str]]:
    """The embedded store and an index of Elasticsearch with the same records."""
    db = make_db(tmp_path_factory.mktemp("logs"))
    db.start()
    messages, levels, own = zip(*RECORDS, strict=True)
    db.append(make_batch(messages, levels=levels, fields=own, tags={"service.version": "1.2"}))
    db.append(make_batch(["refused"], task="shop-2", app="worker", stream="stderr", run=0))
    index = f"{elasticsearch_url}/logquery-{uuid.uuid4().hex[:8]}"
    client = connect(Connection((elasticsearch_url,)), 30)
    server = look(client)
    client.close()
    made = component("test", lacks=server.lacks, analysis=server.analysis)["template"]
    _call(index, "PUT", json.dumps(made))
    lines = []
    for record in db.search(LogQuery()).records:
        document = {k: v for k, v in record.document.items() if not k.startswith("fields.")}
        text = next((o for m, _, o in RECORDS if m == document["message"]), "")
        if text:
            document["fields"] = json.loads(text)
        lines += [json.dumps({"create": {"_id": record.id}}), json.dumps(document)]
    body = "\n".join(lines) + "\n"
    answer = _call(f"{index}/_bulk?refresh=true", "POST", body, "application/x-ndjson")
    assert not answer["errors"], answer
    yield db, index
    _call(index, "DELETE")
    db.stop()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "refused",
        "REFUSED",
        "refus*",
        "*fus*",
        "grüße",
        "gr??e",
        '"connection refused"',
        "connection-pool",
        "/orders",
        "refused -level:error",
        "-refused",
        "NOT (refused OR ok)",
        "refused OR köln level:fatal",
        "app:shop",
        "app:(worker OR shop) refused",
        "app:sh*",
        "app:/s.op/",
        "app:SHOP",
        "stream:stderr",
        "level:>=warn",
        "level:none",
        "level:*",
        "fields.status:500",
        "fields.status:[400 TO 500]",
        "fields.a.b:x",
        "fields.tags:y",
        "fields.ok:true",
        'fields.note:"a b"',
        "fields.path:/ord*",
        "fields.status:*",
        "-fields.status:*",
        "run:1",
        "run:>=1",
        "-run:*",
        "log.offset:<20",
        "task_id:shop-1-id refused",
        'image:"shop:1"',
        "@timestamp:>=2026-01-01T00:00:02Z",
        "@timestamp:{2026-01-01T00:00:01Z TO 2026-01-01T00:00:03Z]",
        "dataset:task host:host-1",
    ],
)
def test_lucene_finds_what_the_embedded_store_finds(both: tuple[LogDb, str], query: str) -> None:
    """Grafana's query_string and the embedded store agree on which records a query means."""
    db, index = both
    lucene = {"query_string": {"query": to_lucene(parse(query)), "analyze_wildcard": True}}

    answer = _call(f"{index}/_search", "POST", json.dumps({"size": 100, "query": lucene}))

    theirs = {hit["_source"]["message"] for hit in answer["hits"]["hits"]}
    ours = {record.document["message"] for record in db.search(LogQuery(query)).records}
    assert theirs == ours

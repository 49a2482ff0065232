"""The Elasticsearch sink and reader against a real node.

The node of the test suite answers ``_data_stream`` requests through a shim of the suite's own; the
tests here create data streams by bulk, search them and delete them, which is the server's own code.
"""

import json
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from logship.reader.elasticsearch import ElasticsearchLogReader
from logship.sink.elasticsearch.client import Connection
from logship.sink.elasticsearch.sink import ElasticsearchSink
from model.errors import DeliveryError, ParseError, StorageError
from storage.interface import LogQuery
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import parse, shipper, until
from tests.logship.proxy import Proxy

URL = f"http://127.0.0.1:{os.environ.get('TASKSCOPE_TEST_ES_PORT', '19200')}"


def ask(method: str, path: str, body: Any = None) -> Any:
    """Ask the node directly."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json"}, method=method)  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace of this test alone, removed with its data streams."""
    name = f"logship.{time.time_ns():x}"
    yield name
    for stream in ask("GET", "/_resolve/index/logs-*")["data_streams"]:
        if stream["name"].endswith(f"-{name}"):
            ask("DELETE", f"/_data_stream/{stream['name']}")


def stored(namespace: str, dataset: str = "task") -> list[dict[str, Any]]:
    """Return the hits of a data stream in order of offset."""
    ask("POST", f"/logs-{dataset}-{namespace}/_refresh")
    body = {"size": 10_000, "sort": ["log.offset"]}
    hits: list[dict[str, Any]] = ask("POST", f"/logs-{dataset}-{namespace}/_search", body)["hits"]["hits"]  # fmt: skip
    return hits


@pytest.mark.elasticsearch
def test_documents_are_ecs_and_sending_twice_stores_once(namespace: str) -> None:
    """Nanoseconds, identity, level and own fields are there; the second time every item is 409."""
    line = '{"ts":"2026-11-22T09:00:00.123456789Z","level":"warn","msg":"hi","user":{"id":7}}\n'
    batches = parse(line + "plain\n").batches
    sink = ElasticsearchSink(Connection((URL,)), namespace=namespace)

    first = sink.write(batches, 30)
    second = sink.write(batches, 30)
    sink.close()

    assert [list(d.status) for d in first] == [[201, 201]]
    assert [list(d.status) for d in second] == [[409, 409]]
    document = stored(namespace)[0]["_source"]
    assert document["@timestamp"] == "2026-11-22T09:00:00.123456789Z"
    assert document["log.level"] == "warn"
    assert document["fields"] == {"user": {"id": 7}}
    assert document["service.name"] == "shop"
    assert document["event.dataset"] == "task"


@pytest.mark.elasticsearch
def test_template_makes_a_data_stream_with_flattened_fields(namespace: str) -> None:
    """Own fields of any shape never conflict, and are found by name."""
    lines = '{"msg":"a","user":1}\n{"msg":"b","user":{"id":"x"}}\n{"msg":"c","user":[{"id":2}]}\n'
    sink = ElasticsearchSink(Connection((URL,)), namespace=namespace)

    (delivery,) = sink.write(parse(lines).batches, 30)
    sink.close()

    assert list(delivery.status) == [201, 201, 201]
    stored(namespace)
    (mapping,) = ask("GET", f"/logs-task-{namespace}/_mapping").values()
    assert mapping["mappings"]["properties"]["fields"]["type"] == "flattened"
    found = ask("POST", f"/logs-task-{namespace}/_search", {"query": {"term": {"fields.user.id": "x"}}})  # fmt: skip
    assert found["hits"]["total"]["value"] == 1


@pytest.mark.elasticsearch
def test_record_with_impossible_fields_is_stored_as_text(namespace: str) -> None:
    """Fields nested deeper than a flattened field takes go into the message instead."""
    deep = '{"msg":"deep","a":' + '{"a":' * 30 + "1" + "}" * 31 + "\n"
    sink = ElasticsearchSink(Connection((URL,)), namespace=namespace)

    (delivery,) = sink.write(parse(deep + '{"msg":"flat"}\n').batches, 30)
    sink.close()

    assert list(delivery.status) == [201, 201]
    document = stored(namespace)[0]["_source"]
    assert document["message"].startswith('deep {"a":')
    assert "fields" not in document


@pytest.fixture
def foreign() -> Iterator[Any]:
    """Puts a mapping of somebody else in the way of a namespace, with a higher priority than ours."""
    name = f"logship-test-{time.time_ns():x}"

    def put(namespace: str, mappings: dict[str, Any]) -> None:
        ask("PUT", f"/_index_template/{name}", {
            "index_patterns": [f"logs-task-{namespace}"], "data_stream": {}, "priority": 900 + time.time_ns() % 10_000_000,
            "template": {"mappings": mappings},
        })  # fmt: skip

    yield put
    ask("DELETE", f"/_index_template/{name}")


@pytest.mark.elasticsearch
def test_field_that_conflicts_with_a_foreign_mapping_is_moved(namespace: str, foreign: Any) -> None:
    """The record is stored, with the offending field among its own, under its name (L6)."""
    foreign(namespace, {"properties": {"fields": {"type": "flattened"}, "service": {"properties": {"name": {"type": "long"}}}}})  # fmt: skip
    sink = ElasticsearchSink(Connection((URL,)), namespace=namespace)

    (delivery,) = sink.write(parse('{"msg":"hello","user":7}\nplain\n').batches, 30)
    sink.close()

    assert list(delivery.status) == [201, 201]
    first, second = (hit["_source"] for hit in stored(namespace))
    assert (first["message"], first["fields"]) == ("hello", {"user": 7, "service.name": "shop"})
    assert (second["message"], second["fields"]) == ("plain", {"service.name": "shop"})
    found = ask("POST", f"/logs-task-{namespace}/_search", {"query": {"term": {"fields.service.name": "shop"}}})  # fmt: skip
    assert found["hits"]["total"]["value"] == 2


@pytest.mark.elasticsearch
def test_refused_record_is_a_dead_letter(tmp_path: Path, namespace: str, foreign: Any) -> None:
    """With a foreign mapping that leaves no way out a record is kept with its reasons; the others go on."""
    foreign(namespace, {"properties": {"message": {"type": "long"}, "fields": {"properties": {"message": {"type": "long"}}}}})  # fmt: skip
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    (sandbox / "stdout").write_text("no number\n42\n")
    tasks = FakeTaskSource(make_task(sandbox=str(sandbox)))
    sink = ElasticsearchSink(Connection((URL,)), namespace=namespace)
    ship = shipper(tasks, tmp_path / "state", sink)
    letters = tmp_path / "state" / "dead-letters-elasticsearch.jsonl"

    ship.start()
    buried = until(letters.exists)
    delivered = until(lambda: ship.collect(0)[0].values[-2] == 0)
    ship.stop()

    assert buried
    assert delivered
    (letter,) = map(json.loads, letters.read_text().splitlines())
    assert letter["line"] == letter["document"]["message"] == "no number"
    assert "failed to parse field [message]" in letter["reason"]
    assert "and repaired: document_parsing_exception" in letter["reason"]
    assert [hit["_source"]["message"] for hit in stored(namespace)] == ["42"]


@pytest.mark.elasticsearch
def test_node_that_was_away_catches_up(tmp_path: Path, namespace: str) -> None:
    """While the connection is cut lines wait in their files; afterwards each is there once."""
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    proxy = Proxy(URL)
    sink = ElasticsearchSink(Connection((proxy.url,)), namespace=namespace)
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)
    ship.start()
    stop = threading.Event()
    said: list[bool] = []
    written: list[str] = []

    def write() -> None:
        with (sandbox / "stdout").open("w") as file:
            while not stop.wait(0.005):
                written.append(f"line {len(written)}")
                file.write(f"{written[-1]}\n")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(3):
        time.sleep(0.4)
        proxy.cut()
        said.append(until(lambda: not ship.status().sinks[0].ok))
        time.sleep(0.3)
        proxy.mend()
    stop.set()
    writer.join()
    caught_up = until(lambda: ship.collect(0)[0].values[-2] == 0, 30)
    ship.stop()
    proxy.close()

    assert all(said)
    assert caught_up
    assert [hit["_source"]["message"] for hit in stored(namespace)] == written


@pytest.mark.elasticsearch
def test_reader_pages_tails_and_counts(namespace: str) -> None:
    """Search in both directions with cursors, a tail that sees what comes, a histogram by level."""
    sink = ElasticsearchSink(Connection((URL,)), namespace=namespace)
    lines = "".join(f'{{"ts":"2026-11-22T09:00:{n:02d}Z","level":"{"error" if n % 2 else "info"}","msg":"line {n}"}}\n' for n in range(10))  # fmt: skip
    sink.write(parse(lines).batches, 30)
    stored(namespace)
    reader = ElasticsearchLogReader(Connection((URL,)), indices=f"logs-*-{namespace}")

    first = reader.search(LogQuery(limit=6))
    rest = reader.search(LogQuery(limit=6, cursor=first.cursor))
    errors = reader.search(LogQuery('app:shop level:error "line 3"', ascending=True))
    edges, counts = reader.histogram(LogQuery(start_ns=1_795_338_000_000_000_000, end_ns=1_795_338_009_999_999_999), 2)  # fmt: skip

    texts = [r.document["message"] for r in (*first.records, *rest.records)]
    assert texts == [f"line {n}" for n in range(9, -1, -1)]
    assert rest.cursor == ""
    assert [r.document["message"] for r in errors.records] == ["line 3"]
    assert list(np.diff(edges)) == [5_000_000_000]
    assert {level: list(column) for level, column in counts.items()} == {"info": [3, 2], "error": [2, 3]}  # fmt: skip

    stop = threading.Event()
    tail = reader.tail("level:warn", "", stop)
    later = parse('{"level":"warn","msg":"new"}\n', start=10_000)
    timer = threading.Timer(0.5, lambda: sink.write(later.batches, 30))
    timer.start()
    page = next(tail)
    stop.set()
    timer.join()
    sink.close()
    reader.close()

    assert [r.document["message"] for r in page.records] == ["new"]
    assert page.cursor


@pytest.mark.elasticsearch
def test_reader_refuses_what_is_no_query() -> None:
    """Text and cursor are judged before anything is asked."""
    reader = ElasticsearchLogReader(Connection((URL,)))

    with pytest.raises(ParseError):
        reader.search(LogQuery("level:("))
    with pytest.raises(ParseError):
        reader.search(LogQuery(cursor="nonsense"))
    reader.close()


def test_nobody_there_is_said_in_one_sentence() -> None:
    """Neither sink nor reader raises anything but its own error."""
    connection = Connection(("http://127.0.0.1:1",))
    sink, reader = ElasticsearchSink(connection), ElasticsearchLogReader(connection)

    with pytest.raises(DeliveryError, match="cannot be reached") as sent:
        sink.write(parse("x\n").batches, 1)
    with pytest.raises(StorageError, match="cannot be reached"):
        reader.search(LogQuery())

    assert sent.value.retryable


def test_missing_password_file_is_said(tmp_path: Path) -> None:
    """The sentence names the file; it is tried again later, rarely."""
    path = tmp_path / "es.password"
    sink = ElasticsearchSink(Connection(("http://127.0.0.1:1",), username="elastic", password_file=str(path)))  # fmt: skip

    with pytest.raises(DeliveryError, match=r"es\.password cannot be read") as error:
        sink.write(parse("x\n").batches, 1)

    assert not error.value.retryable

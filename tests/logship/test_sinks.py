"""Sinks against servers that answer what a test wants, and the lane that feeds them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from logship import ecs, wire
from logship.deadletter import DeadLetters
from logship.lane import Lane
from logship.metrics import LogshipMetrics
from logship.parse.batch import Tally
from logship.sink.elasticsearch.client import Connection
from logship.sink.elasticsearch.sink import ElasticsearchSink
from logship.sink.embedded import EmbeddedSink
from logship.sink.server import PATH, ServerSink
from logship.source.chunk import Chunk
from logship.source.docker_api import ApiOrigin
from model.catalog import CATALOG
from model.errors import DeliveryError, StorageError
from model.log import Delivery, LogBatch
from tests.fakes.tasks import make_task
from tests.logship.harness import RealClock, parse, until
from tests.logship.recording import RecordingSink
from tests.logship.server import Answer, Server
from tests.logship.test_wire import Store

ELASTIC = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}


def batches(*texts: str) -> list[LogBatch]:
    """Return a batch of plain lines."""
    return parse("".join(f"{text}\n" for text in texts)).batches


def elasticsearch(items: list[dict[str, Any]], seen: list[bytes]) -> Any:
    """Answer bulk requests with these items, in order over all requests."""
    left = list(items)

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if not path.endswith("_bulk") and "_bulk?" not in path:
            return 200, b'{"acknowledged":true}', ELASTIC
        seen.append(body)
        given = [{"create": left.pop(0)} for _ in range(body.count(b"\n") // 2)]
        return 200, json.dumps({"errors": True, "items": given}).encode(), ELASTIC

    return answer


def error(status: int, reason: str = "why") -> dict[str, Any]:
    """Return a failed item."""
    return {"status": status, "error": {"type": "some_exception", "reason": reason}}


def test_each_item_ends_in_its_own_state() -> None:
    """Stored, there already, try again, never: as the server says of each, with its reasons."""
    items = [{"status": 201}, error(409), error(429), error(400), error(403), error(503)]
    seen: list[bytes] = []
    with Server(elasticsearch([*items, error(400, "still")], seen)) as server:
        sink = ElasticsearchSink(Connection((server.url,)))
        (delivery,) = sink.write(batches("a", "b", "c", "d", "e", "f"), 5)
        sink.close()

    assert list(delivery.status) == [201, 409, 429, 400, 403, 503]
    assert list(delivery.retryable) == [2, 4, 5]
    assert delivery.reasons[3] == "some_exception: why; and repaired: some_exception: still"
    assert len(seen) == 2  # what was refused is tried once more as text


def test_request_that_is_too_large_is_halved() -> None:
    """A proxy's limit of size costs more requests, and only a record that is too large by itself."""
    taken: list[bytes] = []

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if "_bulk" in path and len(body) > 2000:
            return 413, b"{}", ELASTIC
        if "_bulk" in path:
            taken.append(body)
        return 200, b'{"errors":false,"items":[]}', ELASTIC

    with Server(answer) as server:
        sink = ElasticsearchSink(Connection((server.url,)))
        deliveries = sink.write([*batches("a", "b", "c"), *batches("x" * 3000, "d")], 5)
        sink.close()

    assert [list(d.status) for d in deliveries] == [[201, 201, 201], [400, 201]]
    assert b"".join(taken).count(b'"create"') == 4


def test_dataset_of_the_sink() -> None:
    """Records that name no dataset of their own go to the sink's data stream."""
    paths = []

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        paths.append(path.split("?", maxsplit=1)[0])
        return 200, b'{"errors":false,"items":[]}', ELASTIC

    with Server(answer) as server:
        sink = ElasticsearchSink(Connection((server.url,)), dataset="billing", namespace="prod")
        sink.write(batches("a"), 5)
        sink.close()

    assert [path for path in paths if path.endswith("_bulk")] == ["/logs-billing-prod/_bulk"]
    assert "/_index_template/taskscope-logs-billing" in paths


@pytest.mark.parametrize(
    ("status", "retryable", "sentence"),
    [
        (401, False, "refuses user elastic: check"),
        (503, True, "answers 503"),
        (429, True, "answers 429"),
        (404, False, "answers 404"),
    ],
)
def test_refusal_of_a_whole_request(tmp_path: Path, status: int, retryable: bool, sentence: str) -> None:  # fmt: skip
    """One sentence for people; a wrong password is not tried at once again."""
    (tmp_path / "password").write_text("wrong\n")

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return status, b'{"error":{"reason":"no"}}', {**ELASTIC, "Retry-After": "7"}

    with Server(answer) as server:
        connection = Connection((server.url,), username="elastic", password_file=str(tmp_path / "password"))  # fmt: skip
        sink = ElasticsearchSink(connection)
        with pytest.raises(DeliveryError, match=sentence) as raised:
            sink.write(batches("a"), 5)

    assert raised.value.retryable == retryable
    assert "wrong" not in str(raised.value)


def test_server_sink_delivers_what_the_server_stored() -> None:
    """The answer is the delivery; the token goes along; the path is the server's own."""
    store = Store()
    seen = []

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        seen.append((method, path, headers["Content-Type"]))
        return 200, wire.ingest(body, store), {}

    with Server(answer) as server:
        sink = ServerSink(server.url)
        (first,) = sink.write(batches("a", "b"), 5)
        sink.write(batches("c", "d"), 5)
        sink.close()

    assert list(first.status) == [201, 400]
    assert [batch.text(0) for batch in store.batches] == ["a", "c"]
    assert seen == [("POST", PATH, wire.CONTENT_TYPE)] * 2


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (401, False), (500, True)])
def test_server_sink_says_what_the_server_said(status: int, retryable: bool) -> None:
    """A refusal is an error with the server's words; nothing counts as delivered."""
    with Server(lambda *_: (status, b"because", {})) as server:
        sink = ServerSink(server.url)
        with pytest.raises(DeliveryError, match=f"{status}.*because") as raised:
            sink.write(batches("a"), 5)
        sink.close()

    assert raised.value.retryable == retryable


def test_server_that_is_away() -> None:
    """It can be reached again later."""
    with pytest.raises(DeliveryError, match="cannot be reached") as raised:
        ServerSink("http://127.0.0.1:1").write(batches("a"), 1)

    assert raised.value.retryable


class Broken:
    """A ticket of a write that failed."""

    def wait(self, timeout_seconds: float | None = None) -> bool:
        raise StorageError("the disk is full")


class BrokenStore:
    """Takes everything and stores nothing."""

    def append(self, batch: LogBatch) -> tuple[Delivery, Broken]:
        return Delivery(np.full(len(batch), 201, dtype=np.int16)), Broken()


def test_embedded_sink_waits_for_the_store() -> None:
    """What the store could not write is not delivered."""
    with pytest.raises(DeliveryError, match="the disk is full"):
        EmbeddedSink(BrokenStore()).write(batches("a"), 1)


class Picky:
    """Takes one more record with each call; of three words it has an opinion."""

    name = "picky"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def write(self, given: Any, timeout_seconds: float) -> list[Delivery]:
        texts = [batch.text(row) for batch in given for row in range(len(batch))]
        self.calls.append(texts)
        if len(self.calls) == 1:
            raise DeliveryError("not yet", retryable=True)
        deliveries = []
        for batch in given:
            words = [batch.text(row) for row in range(len(batch))]
            later = 429 if len(self.calls) < 3 else 201
            codes = {"never": 400, "later": later, "there": 409}
            status = np.array([codes.get(word, 201) for word in words], dtype=np.int16)
            deliveries.append(
                Delivery(status, {n: "bad" for n, w in enumerate(words) if w == "never"})
            )
        return deliveries

    def check(self, timeout_seconds: float) -> None:
        """It is there."""

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize(
    ("status", "headers", "body", "want"),
    [
        (200, {"Content-Type": "text/html"}, b"<html>\n<h1>hello</h1>", "what answers at URL is no Elasticsearch: <html> <h1>hello</h1>"),
        (401, ELASTIC, b"{}", "Elasticsearch at URL wants a login: set username and password_file, or api_key_file"),
        (503, ELASTIC, b'{"error":{"reason":"not now"}}', "Elasticsearch at URL answers 503: not now"),
    ],
)  # fmt: skip
def test_check_says_what_is_wrong(
    status: int, headers: dict[str, str], body: bytes, want: str
) -> None:
    """Before anything is sent, in one line."""
    with Server(lambda *request: (status, body, headers)) as server:
        sink = ElasticsearchSink(Connection((server.url,)))
        with pytest.raises(DeliveryError) as error:
            sink.check(5)
        sink.close()

        assert str(error.value) == want.replace("URL", server.url)


def test_lane_says_that_its_sink_is_away_before_there_is_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The sentence stands in the status and, once, in the log."""
    sink = RecordingSink()
    sink.failing = DeliveryError("it is away", retryable=True)
    lane = Lane(sink, DeadLetters(tmp_path, "x"), LogshipMetrics(CollectorRegistry()), RealClock(), buffer_bytes=1000, timeout_seconds=1, on_delivered=lambda: None)  # fmt: skip

    lane.start()
    said = until(lambda: not lane.status.ok)
    lane.stop(1)

    assert said
    assert lane.status.message == "it is away"
    assert [r.message for r in caplog.records] == [
        "log sink recording: it is away; lines wait in their files until it is right"
    ]


def test_lane_sends_again_only_what_must_be(tmp_path: Path) -> None:
    """The position moves when every record is there or a dead letter, and each is counted once."""
    registry = CollectorRegistry()
    sink = Picky()
    lane = Lane(sink, DeadLetters(tmp_path, "picky"), LogshipMetrics(registry), RealClock(), buffer_bytes=1000, timeout_seconds=1, on_delivered=lambda: None)  # fmt: skip
    source = ApiOrigin(source_id="x")
    given = batches("ok", "later", "never", "there")
    lane.put(Chunk(source, make_task(), 0, 42, given, 42, Tally()))

    lane.start()
    delivered = until(lambda: source.acked.get("picky") == 42)
    lane.stop(1)

    assert delivered
    assert sink.calls == [["ok", "later", "never", "there"]] * 2 + [["later"]]
    assert registry.get_sample_value("taskscope_logship_sent_records_total", {"sink": "picky"}) == 3
    assert registry.get_sample_value("taskscope_logship_dropped_records_total", {"reason": "refused"}) == 1  # fmt: skip
    (letter,) = map(json.loads, (tmp_path / "dead-letters-picky.jsonl").read_text().splitlines())
    assert letter["reason"] == "bad"
    assert letter["attempts"] == 2
    assert letter["id"] == ecs.document_id(given[0].source_id, int(given[0].offsets[2]))


def test_metrics_are_in_the_catalog() -> None:
    """Every family, with its labels and its help."""
    registry = CollectorRegistry()
    LogshipMetrics(registry)

    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert CATALOG[name].help == family.documentation
        assert CATALOG[name].type == family.type


def test_documents_and_bulk_lines_agree() -> None:
    """Whatever a record holds, both are the same JSON; percent signs and quotes are no trouble."""
    texts = ['100% "sure" \\ \t', "a\0b", "ü\u2028", '","', "ERROR x", '{"msg":"m","p%s":"%d"}', f'{{"msg":"t","trace_id":"{"ab" * 16}"}}']  # fmt: skip
    for batch in batches(*texts):
        documents = [json.loads(line) for line in ecs.documents(batch)]
        bulk = [lines.split(b"\n") for lines in ecs.records(ecs.bulk(batch, 'in"dex'))]

        assert [json.loads(lines[1]) for lines in bulk] == documents
        assert [document["message"] for document in documents] == [batch.text(n) for n in range(len(batch))]  # fmt: skip
        assert documents[5]["fields"] == {"p%s": "%d"}
        assert documents[6]["trace.id"] == "ab" * 16
        assert json.loads(bulk[0][0])["create"]["_index"] == 'in"dex'
        assert json.loads(bulk[1][0])["create"]["_id"] == ecs.document_id(batch.source_id, int(batch.offsets[1]))  # fmt: skip

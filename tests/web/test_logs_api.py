"""Search, histogram and the live tail."""

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.fakes.clock import FakeClock
from tests.fakes.tasks import SHOP
from tests.web.conftest import MakeClient, body
from tests.web.demo_host import Demo
from tests.web.memory_logs import MemoryLogs
from web.api import log_export
from web.server import WebServer

NOW_MS = FakeClock().now_ns() // 1_000_000


@pytest.fixture
def logs() -> MemoryLogs:
    """Return ten lines, one a second, the last one now; every third is an error."""
    made = MemoryLogs()
    for i in range(10):
        level = "info" if i % 3 else "error"
        at_ns = (NOW_MS - (9 - i) * 1000) * 1_000_000 + 123_456
        made.put(SHOP, at_ns, f"line {i}", level, n=i)
    return made


@pytest.fixture
def client(logs: MemoryLogs, make_client: MakeClient) -> FlaskClient:
    """Return a client over those lines."""
    return make_client(logs=logs)


def messages(answer: Any) -> list[str]:
    """Return the texts of a page."""
    return [record["document"]["message"] for record in body(answer)["records"]]


def test_search_gives_the_newest_first(client: FlaskClient) -> None:
    """With id, times and the whole document."""
    answer = client.get("/api/logs/search", query_string={"limit": 2})
    first = body(answer)["records"][0]

    assert messages(answer) == ["line 9", "line 8"]
    assert first["ts_ms"] == NOW_MS
    assert first["ts_ns"] == f"{NOW_MS}123456"
    assert first["document"]["service.name"] == "shop"


def test_pages_follow_each_other(client: FlaskClient) -> None:
    """The cursor goes on where a page ended, in both directions."""
    for direction, want in (("backward", range(9, -1, -1)), ("forward", range(10))):
        found, cursor = [], ""
        while True:
            query = {"limit": 4, "direction": direction, "cursor": cursor}
            answer = client.get("/api/logs/search", query_string=query)
            found += messages(answer)
            cursor = body(answer)["cursor"]
            if not cursor:
                break
        assert found == [f"line {i}" for i in want]


def test_search_by_query_and_time(client: FlaskClient) -> None:
    """The bounds are whole milliseconds, both included."""
    query = {"query": "level:error", "start": (NOW_MS - 6000) / 1000, "end": NOW_MS / 1000}

    assert messages(client.get("/api/logs/search", query_string=query)) == [
        "line 9",
        "line 6",
        "line 3",
    ]


@pytest.mark.parametrize(
    ("path", "parameters", "part"),
    [
        ("search", {"query": "(level:error"}, "never closed"),
        ("histogram", {"query": "(level:error"}, "never closed"),
        ("tail", {"query": "(level:error"}, "never closed"),
        ("search", {"query": "levels:error"}, "did you mean level"),
        ("tail", {"query": "levels:error"}, "did you mean level"),
        ("search", {"start": "x"}, '"start"'),
        ("histogram", {"start": "x"}, '"start"'),
        ("search", {"limit": "-1"}, '"limit"'),
        ("histogram", {"buckets": "many"}, '"buckets"'),
        ("search", {"direction": "up"}, "backward or forward"),
        ("search", {"start": 10, "end": 5}, '"end"'),
    ],
)
def test_bad_parameters_are_400_with_a_sentence(
    client: FlaskClient, path: str, parameters: dict[str, Any], part: str
) -> None:
    """Also for a tail, before its stream begins."""
    answer = client.get(f"/api/logs/{path}", query_string=parameters)

    assert answer.status_code == 400
    assert part in body(answer)["error"]


def test_histogram_counts_by_level(client: FlaskClient) -> None:
    """One bucket a second."""
    query = {"start": (NOW_MS - 9000) / 1000, "end": NOW_MS / 1000, "buckets": 2}
    answer = body(client.get("/api/logs/histogram", query_string=query))

    assert len(answer["edges_ms"]) == 2
    assert answer["edges_ms"][0] == NOW_MS - 9000
    assert answer["counts"] == {"error": [2, 2], "info": [3, 3]}


def test_process_without_logs_says_so(make_client: MakeClient) -> None:
    """An agent keeps none."""
    for path in ("search", "histogram", "tail"):
        answer = make_client().get(f"/api/logs/{path}")
        assert answer.status_code == 404
        assert "keeps no logs" in body(answer)["error"]


class Tail:
    """A client of the stream that reads events."""

    def __init__(self, server: WebServer, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        self._connection.request("GET", path, headers=headers)
        self.response = self._connection.getresponse()

    def __iter__(self) -> Iterator[dict[str, str]]:
        event: dict[str, str] = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif "data" in event:
                yield event
                event = {}

    def close(self) -> None:
        self.response.close()
        self._connection.close()


def wait_until(true: Any, seconds: float = 5.0) -> None:
    """Wait for something another thread does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def records_of(event: dict[str, str]) -> list[str]:
    """Return the texts of an event."""
    return [record["document"]["message"] for record in json.loads(event["data"])["records"]]


def test_tail_streams_what_is_written(demo_server: WebServer, demo: Demo) -> None:
    """From now on, as it comes, only what matches."""
    tail = Tail(demo_server, "/api/logs/tail?query=level:error")
    wait_until(lambda: demo.logs.open_tails == 1)
    demo.log("shop-1", demo.now_ms, "passed over", "info")
    demo.log("shop-1", demo.now_ms, "first", "error")
    event = next(iter(tail))

    assert tail.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert event["event"] == "records"
    assert records_of(event) == ["first"]
    tail.close()
    wait_until(lambda: demo.logs.open_tails == 0)


def test_tail_goes_on_behind_the_last_event(demo_server: WebServer, demo: Demo) -> None:
    """A reconnecting browser misses nothing and gets nothing twice."""
    tail = Tail(demo_server, "/api/logs/tail")
    wait_until(lambda: demo.logs.open_tails == 1)
    demo.log("shop-1", demo.now_ms, "before", "info")
    event = next(iter(tail))
    tail.close()
    demo.log("shop-1", demo.now_ms, "while away", "info")
    again = Tail(demo_server, "/api/logs/tail", **{"Last-Event-ID": event["id"]})

    assert records_of(event) == ["before"]
    assert records_of(next(iter(again))) == ["while away"]
    again.close()
    wait_until(lambda: demo.logs.open_tails == 0)


def test_too_many_tails_are_refused_until_one_ends(demo_server: WebServer, demo: Demo) -> None:
    """503 with a sentence; a reader that leaves makes room soon."""
    tails = [Tail(demo_server, "/api/logs/tail") for _ in range(2)]
    wait_until(lambda: demo.logs.open_tails == 2)
    refused = Tail(demo_server, "/api/logs/tail")
    body = json.loads(refused.response.read())

    assert refused.response.status == 503
    assert refused.response.headers["Retry-After"] == "10"
    assert body["error"].startswith("All 2 log tails")
    tails[0].close()
    wait_until(lambda: demo.logs.open_tails == 1)
    later = Tail(demo_server, "/api/logs/tail")
    assert later.response.status == 200
    for one in (refused, tails[1], later):
        one.close()
    wait_until(lambda: demo.logs.open_tails == 0)


def test_api_answers_beside_full_tails(demo_server: WebServer, demo: Demo) -> None:
    """Tails have threads of their own."""
    tails = [Tail(demo_server, "/api/logs/tail") for _ in range(2)]
    wait_until(lambda: demo.logs.open_tails == 2)
    answers = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", demo_server.port, timeout=10)
        connection.request("GET", "/-/healthy")
        answers.append(connection.getresponse().status)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [200] * 8
    for tail in tails:
        tail.close()
    wait_until(lambda: demo.logs.open_tails == 0)


def test_stopping_the_server_ends_the_streams(demo_server: WebServer, demo: Demo) -> None:
    """A reader sees the end instead of waiting for ever."""
    tail = Tail(demo_server, "/api/logs/tail")
    wait_until(lambda: demo.logs.open_tails == 1)
    began = time.monotonic()
    demo_server.stop()

    assert list(tail) == []
    assert time.monotonic() - began < 5
    assert demo.logs.open_tails == 0
    tail.close()


def test_context_gives_the_neighbours(client: FlaskClient, logs: MemoryLogs) -> None:
    """The records of the same task around one, oldest first."""
    record = logs.records[4]

    asked = {"id": record.id, "ts_ns": record.ts_ns, "before": 2, "after": 1}
    answer = body(client.get("/api/logs/context", query_string=asked))

    assert [r["document"]["message"] for r in answer["before"]] == ["line 2", "line 3"]
    assert answer["record"]["id"] == record.id
    assert [r["document"]["message"] for r in answer["after"]] == ["line 5"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"id": "doc-00000001", "ts_ns": "soon"}, "ts_ns"),
        ({"id": "doc-00000001", "ts_ns": str(2**64)}, "ts_ns"),
        ({"id": "nothing", "ts_ns": "1"}, "no such record"),
    ],
)
def test_context_of_nothing_is_refused(
    client: FlaskClient, asked: dict[str, str], words: str
) -> None:
    """What is no time or no record is answered with a sentence."""
    answer = client.get("/api/logs/context", query_string=asked)

    assert answer.status_code in (400, 422)
    assert words in body(answer)["error"]


def test_facets_count_values(client: FlaskClient) -> None:
    """The most frequent values of the fields named, of the records found."""
    answer = body(client.get("/api/logs/facets", query_string={"fields": "level,app", "limit": 1}))
    many = client.get("/api/logs/facets", query_string={"fields": ",".join(["app"] * 11)})

    assert answer["facets"] == {
        "level": [{"value": "info", "count": 6}],
        "app": [{"value": "shop", "count": 10}],
    }
    assert many.status_code == 400


def test_export_is_the_whole_result_oldest_first(client: FlaskClient) -> None:
    """As a file, in both formats; all nine digits of the time are kept."""
    answer = client.get("/api/logs/export", query_string={"query": "level:error"})
    documents = [json.loads(line) for line in answer.data.splitlines()]
    text = client.get("/api/logs/export", query_string={"query": "level:error", "format": "text"})

    assert answer.content_type == "application/x-ndjson"
    assert re.search(r'attachment; filename="taskscope-\w+.ndjson"', disposition(answer))
    assert [d["message"] for d in documents] == ["line 0", "line 3", "line 6", "line 9"]
    assert all(re.search(r"\.\d{3}123456Z$", d["@timestamp"]) for d in documents)
    assert [line.split("\t")[1:] for line in text.text.splitlines()] == [
        ["shop-1", "error", f"line {i}"] for i in (0, 3, 6, 9)
    ]


def disposition(answer: Any) -> str:
    """Return under which name a browser keeps an answer."""
    return str(answer.headers["Content-Disposition"])


def test_export_goes_over_pages_and_says_where_it_stopped(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes a part for the whole."""
    monkeypatch.setattr(log_export, "PAGE", 3)
    whole = client.get("/api/logs/export?format=text").text.splitlines()
    part = client.get("/api/logs/export?format=text&limit=7").text.splitlines()
    ndjson = client.get("/api/logs/export?limit=7").text.splitlines()

    assert [line.rsplit("\t", 1)[1] for line in whole] == [f"line {i}" for i in range(10)]
    assert part[:7] == whole[:7]
    assert part[7:] == [
        "# More than 7 records match; these are the oldest. Ask for a shorter time."
    ]
    assert "More than 7" in json.loads(ndjson[7])["truncated"]
    assert client.get("/api/logs/export?query=level:").status_code == 400
    assert "ndjson or text" in body(client.get("/api/logs/export?format=csv"))["error"]


def test_search_says_what_of_a_message_matched(client: FlaskClient) -> None:
    """Words, phrases, wildcards and patterns; nothing that was excluded."""
    query = 'level:error "Connection refused" OR time* /order-[0-9]+/ NOT healthcheck'
    found = body(client.get("/api/logs/search", query_string={"query": query, "limit": 1}))

    assert found["highlights"] == [
        {"words": ["Connection", "refused"]},
        {"wildcard": ["time", None]},
        {"regex": "order-[0-9]+"},
    ]

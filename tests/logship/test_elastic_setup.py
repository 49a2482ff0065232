"""What is installed on a server, by what it says it can; on a real node that lacks much, and on stand-ins that lack other things."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from logship.sink.elasticsearch import template
from logship.sink.elasticsearch.client import Connection, ask, connect
from logship.sink.elasticsearch.retention import Keeper, Retention
from logship.sink.elasticsearch.server import look
from logship.sink.elasticsearch.sink import ElasticsearchSink
from model.errors import DeliveryError
from tests.logship.harness import parse
from tests.logship.node import Node, on_node
from tests.logship.server import Answer, Server

ELASTIC = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
SECOND = 1 / 86_400


@pytest.fixture
def node() -> Iterator[Node]:
    """The node, with a stream of this test's own."""
    with on_node() as node:
        yield node


class StandIn:
    """A server of which a test says what it can; it keeps what is put.

    Args:
        version: What it says it is.
        lacks: Field types it has not.
        has: Paths it answers with something; all else under ``/_ilm`` and ``_lifecycle`` is unknown.
    """

    def __init__(self, version: str = "8.19.0", lacks: tuple[str, ...] = (), has: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.version, self.lacks, self.has = version, lacks, has
        self.put: dict[str, Any] = {}
        self.puts = 0
        self.forbidden: tuple[str, ...] = ()

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        path = path.partition("?")[0]
        if any(word in path for word in self.forbidden):
            return 403, b'{"error":{"type":"security_exception","reason":"no"}}', ELASTIC
        status, answer = self._answer(method, path, json.loads(body) if body and "_bulk" not in path else {})  # fmt: skip
        return status, json.dumps(answer).encode(), ELASTIC

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/":
            return 200, {"version": {"number": self.version}}
        if path == "/_index_template/_simulate":
            kinds = {p["type"] for p in body["template"]["mappings"]["properties"].values()}
            if unknown := sorted(kinds & set(self.lacks)):
                return 400, {"error": {"type": "mapper_parsing_exception", "reason": f"No handler for type [{unknown[0]}] declared on field [x]"}}  # fmt: skip
            return 200, {}
        if path.startswith("/_ilm/status") or path.endswith("/_lifecycle"):
            there = any(path.startswith(p) for p in self.has)
            return (200, {"operation_mode": "RUNNING", "data_streams": []}) if there else (405, {"error": "no handler"})  # fmt: skip
        if method == "PUT":
            self.put[path] = body
            self.puts += 1
            return 200, {"acknowledged": True}
        if method == "GET" and path in self.put:
            name, inside = path.rpartition("/")[2], self.put[path]
            kind = path.split("/")[1].removeprefix("_")
            if kind == "ilm":
                return 200, {name: {"version": 1, **inside}}
            return 200, {f"{kind}s": [{"name": name, kind: inside}]}
        if "_bulk" in path:
            return 200, {"errors": False, "items": []}
        return 404, {}

    def component(self) -> dict[str, Any]:
        """Return the component template that was put."""
        body: dict[str, Any] = self.put["/_component_template/taskscope-logs@mappings"]["template"]
        return body


def installed(stand_in: StandIn, **options: Any) -> StandIn:
    """Write one record to a stand-in."""
    with Server(stand_in) as server:
        sink = ElasticsearchSink(Connection((server.url,)), **options)
        sink.write(parse("x\n").batches, 5)
        sink.close()
    return stand_in


def test_whole_server_gets_ecs_types_and_its_own_lifecycle() -> None:
    """Nothing is left out, and the server removes old data."""
    server = installed(StandIn(has=("/_data_stream/", "/_ilm")), retention=Retention(days=12.0))

    inside = server.component()
    kinds = {name: p["type"] for name, p in inside["mappings"]["properties"].items()}
    assert (kinds["message"], kinds["error.stack_trace"], kinds["data_stream.type"]) == ("match_only_text", "wildcard", "constant_keyword")  # fmt: skip
    assert inside["lifecycle"] == {"data_retention": "12d"}
    assert inside["settings"]["index"]["codec"] == "best_compression"
    index = server.put["/_index_template/taskscope-logs-task"]
    assert index["priority"] > 100  # of the built-in logs-*-*
    assert index["ignore_missing_component_templates"] == ["taskscope-logs@custom"]
    assert index["template"]["mappings"]["properties"]["data_stream.dataset"]["value"] == "task"


def test_older_server_gets_a_policy() -> None:
    """Data streams had no lifecycle of their own then."""
    server = installed(StandIn("8.6.2", has=("/_ilm",)), retention=Retention(days=3.5, rollover_days=1))  # fmt: skip

    phases = server.put["/_ilm/policy/taskscope-logs"]["policy"]["phases"]
    assert phases["delete"]["min_age"] == "302400000ms"
    assert phases["hot"]["actions"]["rollover"]["max_age"] == "1d"
    assert server.component()["settings"]["index"]["lifecycle.name"] == "taskscope-logs"
    assert "ignore_missing_component_templates" not in server.put["/_index_template/taskscope-logs-task"]  # fmt: skip


@pytest.mark.parametrize("lacks", [("match_only_text",), ("wildcard", "constant_keyword", "flattened"), tuple(template.FALLBACKS)])  # fmt: skip
def test_types_that_a_server_lacks_are_left_out(lacks: tuple[str, ...]) -> None:
    """Found out by asking; the fields are there with a type that it has."""
    server = installed(StandIn(lacks=lacks), fields={"duration_ms": "scaled_float"})

    kinds = {name: p["type"] for name, p in server.component()["mappings"]["properties"].items()}
    assert not set(kinds.values()) & set(lacks)
    assert kinds.keys() == template.PROPERTIES.keys() | {"duration_ms"}


def test_what_is_there_is_left_alone() -> None:
    """A second agent puts nothing; one with an older Taskscope does not replace a newer one's templates."""
    server = installed(StandIn(has=("/_ilm",)))
    first = server.puts
    installed(server)
    assert server.puts == first
    for body in server.put.values():
        if "version" in body:
            body["version"], body["_meta"]["digest"] = template.VERSION + 1, "of a newer one"
    installed(server)

    assert server.puts == first


def test_login_that_may_not_install_is_told_so() -> None:
    """And with install_templates: false nothing is asked."""
    stand_in = StandIn()
    stand_in.forbidden = ("_template",)
    with pytest.raises(DeliveryError, match=r"may not manage index templates.*install_templates: false"):  # fmt: skip
        installed(stand_in)
    installed(stand_in, install_templates=False)

    assert stand_in.puts == 0


@pytest.mark.elasticsearch
def test_real_node_takes_what_is_installed(node: Node) -> None:
    """It lacks some types and every lifecycle; the mapping it makes is ours with the stand-ins."""
    client = connect(Connection((node.url,)), 10)
    server = look(client)
    sink = node.sink(retention=Retention(days=5), fields={"duration_ms": "double"})
    sink.write(parse("x\n").batches, 30)
    sink.close()
    (index,) = ask(client, "GET", f"/{node.stream}").values()
    client.close()

    assert server.since((8, 0))
    assert {"match_only_text", "constant_keyword", "wildcard"} <= server.lacks
    assert not server.lacks & {"flattened", "date_nanos"}
    assert server.lifecycle == "none"
    assert index["settings"]["index"]["codec"] == "best_compression"
    kinds = {name: p.get("type") for name, p in _flat(index["mappings"]["properties"]).items()}
    assert (kinds["message"], kinds["@timestamp"], kinds["fields"], kinds["duration_ms"]) == ("text", "date_nanos", "flattened", "double")  # fmt: skip


def _flat(properties: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inside in properties.items():
        flat |= _flat(inside["properties"], f"{prefix}{name}.") if "properties" in inside else {f"{prefix}{name}": inside}  # fmt: skip
    return flat


@pytest.mark.elasticsearch
def test_we_roll_over_and_delete_where_the_server_does_not(node: Node) -> None:
    """A real rollover by age; an index goes once the one after it is older than the retention."""
    retention = Retention(days=3 * SECOND, rollover_days=0.2 * SECOND)
    sink = node.sink()
    sink.write(parse("old\n").batches, 30)
    client = connect(Connection((node.url,)), 10)
    keeper = Keeper(retention, every_seconds=0.0)
    time.sleep(0.3)
    keeper.keep(client, [node.stream])
    sink.write(parse("new\n", start=100).batches, 30)
    before = node.backing()
    kept = keeper.keep(client, [node.stream])
    time.sleep(4.2)
    deleted = keeper.keep(client, [node.stream])
    sink.close()
    client.close()

    assert len(before) == 2
    assert kept == []
    assert deleted[:1] == before[:1]
    assert before[0] not in node.backing()


@pytest.mark.elasticsearch
def test_sink_keeps_house_by_itself_and_its_failure_is_no_matter_of_records(node: Node) -> None:
    """What is too old goes with the next delivery; with the rollover refused records are delivered all the same."""
    sink = node.sink(retention=Retention(days=1 * SECOND, rollover_days=0.001 * SECOND))
    (first,) = sink.write(parse("old\n").batches, 30)
    rolled = len(node.backing())
    time.sleep(2.2)
    again = node.sink(retention=Retention(days=1 * SECOND, rollover_days=30))
    again.write(parse("new\n", start=50).batches, 30)
    messages = node.messages()
    broken = node.sink(retention=Retention(days=1, rollover_bytes=-1))
    (delivery,) = broken.write(parse("third\n", start=90).batches, 30)
    for one in (sink, again, broken):
        one.close()

    assert list(first.status) == list(delivery.status) == [201]
    assert rolled == 2
    assert messages == {"new": 1}

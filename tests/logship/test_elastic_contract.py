"""The same tests on a real node, on it through TLS, and on the double that stands in where the node lacks something."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from logship.sink.elasticsearch.client import Connection
from logship.sink.elasticsearch.sink import ElasticsearchSink
from model.errors import DeliveryError
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.certificates import Authority
from tests.logship.elastic_double import HEADERS, Double
from tests.logship.harness import parse, shipper, until
from tests.logship.node import URL, Node
from tests.logship.proxy import Proxy
from tests.logship.server import Answer, Server


class Place(Struct):
    """Where to send: the way there, a node that can be asked directly, and a proxy that loses answers."""

    connection: Connection
    node: Node
    proxy: Proxy

    def sink(self, **more: Any) -> ElasticsearchSink:
        """Return a sink on this way."""
        return self.node.sink(connection=self.connection, **more)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Made once: keys cost time."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=[
    pytest.param("node", marks=pytest.mark.elasticsearch),
    pytest.param("node behind TLS", marks=pytest.mark.elasticsearch),
    "double", "double behind TLS",
])  # fmt: skip
def place(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Place]:
    """Yield each place in turn, clean."""
    with ExitStack() as last:
        url = URL if "node" in request.param else last.enter_context(Server(Double())).url
        tls = authority.context if "TLS" in request.param else None
        proxy = Proxy(url, tls)
        last.callback(proxy.close)
        node = Node(url)
        last.callback(node.remove)
        yield Place(Connection((proxy.url,), ca_file=str(authority.ca_file) if tls else ""), node, proxy)  # fmt: skip


def test_sending_twice_stores_once(place: Place) -> None:
    """201, then 409."""
    sink = place.sink()
    batches = parse('{"msg":"a","user":1}\nplain\n').batches

    first, second = sink.write(batches, 30), sink.write(batches, 30)
    sink.close()

    assert [list(d.status) for d in (*first, *second)] == [[201, 201], [409, 409]]
    assert [hit["_source"]["message"] for hit in place.node.hits()] == ["a", "plain"]


def test_what_was_made_ahead_is_what_is_sent(place: Place) -> None:
    """Some of a request; nothing of it is kept afterwards."""
    sink = place.sink()
    batches = [parse(f"line {n}\n", start=100 * n).batches[0] for n in range(3)]
    for batch in batches[1:]:
        sink.ahead(batch)
    deliveries = sink.write(batches, 30)
    sink.close()

    assert [int(delivery.status[0]) for delivery in deliveries] == [201, 201, 201]
    assert place.node.messages() == {f"line {n}": 1 for n in range(3)}
    assert not sink._ahead


def test_answer_lost_then_rollover_stores_once(place: Place) -> None:
    """What was in doubt is found in the older backing index."""
    sink = place.sink()
    sink.write(parse("first\n").batches, 30)

    def lose(head: bytes) -> bool:
        if b"_bulk" not in head.partition(b"\r\n")[0]:
            return False
        place.proxy.on_answer = None
        place.node.rollover()
        return True

    batches = parse("".join(f"line {n}\n" for n in range(20)), start=100).batches
    place.proxy.on_answer = lose
    with pytest.raises(DeliveryError):
        sink.write(batches, 30)
    (again,) = sink.write(batches, 30)
    sink.close()

    assert set(again.status) == {409}
    assert sink.found == 20
    assert set(place.node.messages().values()) == {1}


def test_blocked_index_is_waited_for(place: Place, tmp_path: Path) -> None:
    """403 of a cluster block (a full disk) is no refusal: all arrives when it is lifted (L7)."""
    sink = place.sink()
    sink.write(parse("first\n").batches, 30)
    place.node.ask("PUT", f"/{place.node.stream}/_settings", {"index.blocks.write": True})
    (sandbox := tmp_path / "sandbox").mkdir()
    (sandbox / "stdout").write_text("second\nthird\n")
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)

    ship.start()
    said = until(lambda: "wants records later: cluster_block_exception" in ship.status().sinks[0].message)  # fmt: skip
    place.node.ask("PUT", f"/{place.node.stream}/_settings", {"index.blocks.write": False})
    delivered = until(lambda: ship.collect(0)[0].values[-2] == 0)
    ship.stop()

    assert said
    assert delivered
    assert not list((tmp_path / "state").glob("dead-letters*.jsonl"))
    assert place.node.messages() == {"first": 1, "second": 1, "third": 1}


def test_wrong_authority_is_said(place: Place, tmp_path: Path) -> None:
    """A certificate that nobody vouches for is not accepted; one sentence for people."""
    if not place.connection.ca_file:
        return
    other = Authority(tmp_path / "other")
    sink = place.node.sink(connection=Connection(place.connection.endpoints, ca_file=str(other.ca_file)))  # fmt: skip

    with pytest.raises(DeliveryError, match="certificate"):
        sink.write(parse("x\n").batches, 5)
    sink.close()


def test_several_nodes_one_of_them_away(place: Place) -> None:
    """A node that cannot be reached is passed over at once, without an error."""
    scheme = place.proxy.url.partition("://")[0]
    dead = f"{scheme}://127.0.0.1:1"
    connection = Connection((dead, *place.connection.endpoints, dead), ca_file=place.connection.ca_file)  # fmt: skip
    sink = place.node.sink(connection=connection)

    statuses = [int(sink.write(parse(f"line {n}\n", start=100 * n).batches, 30)[0].status[0]) for n in range(6)]  # fmt: skip
    sink.close()

    assert statuses == [201] * 6
    assert sum(place.node.messages().values()) == 6


def test_emptied_server_gets_its_templates_back(place: Place) -> None:
    """Stream and templates are removed under us: what comes next fails, or not, and is then in a data stream of ours."""
    sink = place.sink()
    sink.write(parse("first\n").batches, 30)
    place.node.remove()
    (delivery,) = sink.write(parse("second\n", start=50).batches, 30)
    if delivery.status[0] != 201:
        assert list(delivery.retryable) == [0]
        (delivery,) = sink.write(parse("second\n", start=50).batches, 30)
    sink.close()

    assert list(delivery.status) == [201]
    assert len(place.node.backing()) == 1
    assert place.node.messages() == {"second": 1}


@pytest.mark.parametrize("login", ["basic", "api key"])
def test_logins(login: str, tmp_path: Path) -> None:
    """Right and wrong, on the double; a real node with security is asked in ``test_elastic_restart``."""
    double = Double()
    double.basic("shipper", "right")
    double.api_key("a2V5OnJpZ2h0")
    secret = tmp_path / "secret"
    with Server(double) as server:
        options: Any = {"username": "shipper", "password_file": str(secret)} if login == "basic" else {"api_key_file": str(secret)}  # fmt: skip
        sink = Node(server.url).sink(connection=Connection((server.url,), **options))
        secret.write_text("wrong\n")
        with pytest.raises(DeliveryError, match=f"refuses {'user shipper' if login == 'basic' else 'the API key'}: check .*secret"):  # fmt: skip
            sink.write(parse("x\n").batches, 5)
        secret.write_text("right\n" if login == "basic" else "a2V5OnJpZ2h0\n")
        (delivery,) = sink.write(parse("x\n").batches, 5)
        sink.close()

    assert list(delivery.status) == [201]


def test_time_out_is_no_loss_and_no_repeat(place: Place) -> None:
    """The server takes longer than the client waits, then answers in time again."""
    sink = place.sink()
    sink.write(parse("first\n").batches, 1)
    batches = parse("slow\n", start=50).batches
    place.proxy.delay_seconds = 2.0
    with pytest.raises(DeliveryError, match="does not answer in time"):
        sink.write(batches, 1)
    place.node.rollover()
    place.proxy.delay_seconds = 0.0
    (again,) = sink.write(batches, 1)
    sink.close()

    assert list(again.status) == [409]
    assert place.node.messages() == {"first": 1, "slow": 1}


def test_only_what_is_in_doubt_is_looked_up() -> None:
    """Refused requests and connections that never were leave no doubt: nothing is asked but the bulk."""
    paths: list[str] = []
    double = Double()

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        paths.append(path.partition("?")[0])
        if len(paths) > 20:
            return 429, b'{"error":{"type":"x","reason":"busy"}}', HEADERS
        return double(method, path, headers, body)

    with Server(answer) as server:
        node = Node(server.url)
        sink = node.sink()
        sink.write(parse("first\n").batches, 5)
        node.rollover()
        paths.extend([""] * 20)
        with pytest.raises(DeliveryError, match="429"):
            sink.write(parse("second\n", start=50).batches, 5)
        paths.clear()
        (delivery,) = sink.write(parse("second\n", start=50).batches, 5)
        sink.close()

    assert list(delivery.status) == [201]
    assert not [path for path in paths if path.endswith("_search")]
    assert f"/{node.stream}/_bulk" in paths

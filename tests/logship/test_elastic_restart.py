"""A real node of our own, with security: logins, API keys, TLS in front, killed and started again in the middle of bulks."""

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from logship.sink.elasticsearch.client import Connection
from model.errors import DeliveryError
from tests.e2e.faults import SecuredNode
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.certificates import Authority
from tests.logship.harness import parse, shipper, until
from tests.logship.node import Node
from tests.logship.proxy import Proxy
from tests.needs import leave_out

pytestmark = [pytest.mark.slow, pytest.mark.elasticsearch, pytest.mark.timeout(300)]
PASSWORD = "right-one"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, shared: Path, cache: Path) -> Iterator[SecuredNode]:  # fmt: skip
    """A node that wants a login; stopped afterwards."""
    start = shared / "services" / "es8" / "start.sh"
    if not (cache / "es8" / "home" / ".ready").exists() or not start.exists():
        leave_out("Elasticsearch's programs are not in the cache")
    node = SecuredNode(cache / "es8", start, tmp_path_factory.mktemp("node"), PASSWORD)
    node.start()
    yield node
    node.stop()


@pytest.fixture
def node(secured: SecuredNode) -> Node:
    """The node, asked as its administrator."""
    login = base64.b64encode(f"elastic:{PASSWORD}".encode()).decode()
    return Node(secured.url, {"Authorization": f"Basic {login}"})


def test_logins_and_tls_on_a_real_node(node: Node, tmp_path: Path) -> None:
    """Basic login and API key through a TLS proxy; a wrong one is told; a key with few rights is enough where templates are there."""
    authority = Authority(tmp_path / "ca")
    proxy = Proxy(node.url, authority.context)
    secret, key_file = tmp_path / "password", tmp_path / "key"
    secret.write_text("wrong")
    basic = Connection((proxy.url,), username="elastic", password_file=str(secret), ca_file=str(authority.ca_file))  # fmt: skip
    sink = node.sink(connection=basic)
    with pytest.raises(DeliveryError, match="refuses user elastic: check"):
        sink.write(parse("x\n").batches, 10)
    secret.write_text(f"{PASSWORD}\n")
    time.sleep(1.0)  # the node itself refuses the right one, too, for a moment after a wrong one
    (by_password,) = sink.write(parse("by password\n").batches, 30)
    key = node.ask("POST", "/_security/api_key", {"name": "shipper", "role_descriptors": {"s": {
        "index": [{"names": ["logs-*"], "privileges": ["create_doc", "auto_configure", "view_index_metadata"]}]}}})  # fmt: skip
    key_file.write_text(key["encoded"])
    by_key = Connection((proxy.url,), api_key_file=str(key_file), ca_file=str(authority.ca_file))
    with pytest.raises(DeliveryError, match="may not manage index templates"):
        node.sink(connection=by_key).write(parse("x\n").batches, 10)
    poor = node.sink(connection=by_key, install_templates=False)
    (batch,) = parse("by key\n", start=50).batches
    poor.resumed([batch.source_id])  # in doubt, and this key may not look: it is sent all the same
    (by_api_key,) = poor.write([batch], 30)
    node.rollover()
    poor.resumed([batch.source_id])
    third = parse("by key again\n", start=90).batches
    (again,) = poor.write(third, 30)
    for one in (sink, poor):
        one.close()
    proxy.close()

    assert list(by_password.status) == list(by_api_key.status) == list(again.status) == [201]
    assert node.messages() == {"by password": 1, "by key": 1, "by key again": 1}


def test_node_killed_in_the_middle_of_bulks(
    secured: SecuredNode, node: Node, tmp_path: Path
) -> None:
    """``kill -9`` of the server while bulks are on their way, twice: afterwards each line is there once (L4, L11)."""
    (sandbox := tmp_path / "sandbox").mkdir()
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    sink = node.sink(connection=Connection((node.url,), username="elastic", password_file=str(secret)))  # fmt: skip
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)
    ship.start()
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with (sandbox / "stdout").open("w") as file:
            while not stop.wait(0.01):
                for _ in range(20):
                    file.write(f"line {written}\n")
                    written += 1
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(1.0)
    secured.stop()
    said = until(lambda: not ship.status().sinks[0].ok)
    secured.start()
    back = until(lambda: ship.status().sinks[0].ok, 60)
    time.sleep(1.0)
    node.rollover()
    secured.stop()
    stop.set()
    writer.join()
    secured.start()
    delivered = until(lambda: ship.collect(0)[0].values[-2] == 0, 90)
    ship.stop()
    node.ask("POST", f"/{node.stream}/_refresh")
    stored = node.ask("POST", f"/{node.stream}/_count")["count"]
    distinct = node.ask("POST", f"/{node.stream}/_search", {"size": 0, "aggs": {"n": {"cardinality": {"field": "log.offset", "precision_threshold": 40_000}}}})  # fmt: skip

    assert said
    assert back
    assert delivered
    assert len(node.backing()) == 2
    assert stored == written
    assert distinct["aggregations"]["n"]["value"] == pytest.approx(written, rel=0.02)

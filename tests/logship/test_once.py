"""Each record is stored once, whatever is cut, rolled over or started anew in between; on a real node."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model.errors import DeliveryError
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import parse, shipper, until
from tests.logship.node import Node, on_node
from tests.logship.proxy import Proxy

pytestmark = pytest.mark.elasticsearch


@pytest.fixture
def node() -> Iterator[Node]:
    """The node, with a stream of this test's own."""
    with on_node() as node:
        yield node


@pytest.fixture
def proxy(node: Node) -> Iterator[Proxy]:
    """A way to the node that can lose answers."""
    proxy = Proxy(node.url)
    yield proxy
    proxy.close()


def lines(first: int, last: int) -> str:
    """Return numbered lines."""
    return "".join(f"line {n}\n" for n in range(first, last))


def lose_next_bulk(proxy: Proxy, meanwhile: object = None) -> None:
    """Lose the next answer to a ``_bulk``, and do something before anybody notices."""

    def lose(head: bytes) -> bool:
        if b"/_bulk" not in head.partition(b"\r\n")[0]:
            return False
        proxy.on_answer = None
        if callable(meanwhile):
            meanwhile()
        return True

    proxy.on_answer = lose


@pytest.mark.parametrize("rollovers", [0, 1, 2])
def test_answer_lost_then_rollover(node: Node, proxy: Proxy, rollovers: int) -> None:
    """The bulk was carried out, its answer cut, the stream rolled over: the retry stores nothing again (L4)."""
    sink = node.sink(proxy.url)
    sink.write(parse("first\n").batches, 30)
    batches = parse(lines(0, 50), start=1000).batches

    def roll() -> None:
        for _ in range(rollovers):
            node.rollover()

    lose_next_bulk(proxy, roll)
    with pytest.raises(DeliveryError):
        sink.write(batches, 30)
    (again,) = sink.write(batches, 30)
    sink.close()

    assert set(again.status) == {409}
    assert sink.found == (50 if rollovers else 0)
    assert len(node.backing()) == 1 + rollovers
    assert len(node.hits()) == 51
    assert set(node.messages().values()) == {1}


def test_part_of_a_request_was_stored_before(node: Node) -> None:
    """Of records in doubt those are sent that are not there, and the answer is about all of them."""
    sink = node.sink()
    (batch,) = parse(lines(0, 10)).batches
    rows = [1, 4, 5, 9]
    sink.write([batch.take(np.array(rows))], 30)
    node.rollover()
    sink.resumed([batch.source_id])
    (delivery,) = sink.write([batch], 30)
    sink.close()

    assert [n for n, status in enumerate(delivery.status) if status == 409] == rows
    assert [n for n, status in enumerate(delivery.status) if status == 201] == [0, 2, 3, 6, 7, 8]
    assert set(node.messages().values()) == {1}


def test_rollover_between_the_look_up_and_the_retry(node: Node, proxy: Proxy) -> None:
    """What was created in an index that is newer than the look-up is compared once more, and its twin removed."""
    sink = node.sink(proxy.url)
    batches = parse(lines(0, 20)).batches
    lose_next_bulk(proxy)
    with pytest.raises(DeliveryError):
        sink.write(batches, 30)

    def roll_after_listing(head: bytes) -> bool:
        if head.startswith(b"GET /_data_stream/"):
            proxy.on_answer = None
            node.rollover()
        return False

    proxy.on_answer = roll_after_listing
    (again,) = sink.write(batches, 30)
    sink.close()

    assert set(again.status) == {409}
    assert len(node.backing()) == 2
    assert set(node.messages().values()) == {1}
    assert len(node.hits()) == 20


def test_new_life_after_a_rollover_stores_nothing_again(
    tmp_path: Path, node: Node, proxy: Proxy
) -> None:
    """Killed before the checkpoint, rolled over, started anew: what was delivered is found in the older index (L11)."""
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    (sandbox / "stdout").write_text(lines(0, 300))
    tasks = FakeTaskSource(make_task(sandbox=str(sandbox)))

    first = node.sink()
    ship = shipper(tasks, tmp_path / "lost", first)  # this life's checkpoint is lost with it
    ship.start()
    assert until(lambda: ship.collect(0)[0].values[-2] == 0)
    ship.stop()
    node.rollover()
    with (sandbox / "stdout").open("a") as file:
        file.write(lines(300, 400))
    second = node.sink()
    ship = shipper(tasks, tmp_path / "state", second)
    ship.start()
    delivered = until(lambda: ship.collect(0)[0].values[-2] == 0)
    ship.stop()

    assert delivered
    assert second.found == 300
    assert node.messages() == {f"line {n}": 1 for n in range(400)}


@pytest.mark.slow
def test_answers_lost_and_rollovers_all_the_time(tmp_path: Path, node: Node, proxy: Proxy) -> None:
    """With every fourth answer lost and a rollover each second each line is there once, and positions were never ahead."""
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    sink = node.sink(proxy.url)
    sink.write(parse("before\n").batches, 30)
    counted = 0

    def lose(head: bytes) -> bool:
        nonlocal counted
        if b"/_bulk" not in head.partition(b"\r\n")[0]:
            return False
        counted += 1
        return counted % 4 == 0

    proxy.on_answer = lose
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)
    ship.start()
    stop = threading.Event()

    def roll() -> None:
        while not stop.wait(1.0):
            node.rollover()

    roller = threading.Thread(target=roll)
    roller.start()
    end = time.monotonic() + 8
    written = 0
    with (sandbox / "stdout").open("w") as file:
        while time.monotonic() < end:
            file.write(lines(written, written + 20))
            file.flush()
            written += 20
            time.sleep(0.02)
    stop.set()
    roller.join()
    proxy.on_answer = None
    delivered = until(lambda: ship.collect(0)[0].values[-2] == 0, 30)
    ship.stop()

    assert delivered
    assert counted > 8
    assert len(node.backing()) > 4
    assert node.messages() == {"before": 1, **{f"line {n}": 1 for n in range(written)}}

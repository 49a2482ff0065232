"""The forward server over real sockets: the four forms, acknowledgements, keys, TLS, bad senders."""

import gzip
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context
from typing import Any

import pytest
import zstandard

from logship.source.forward import connection as connections
from logship.source.forward.handshake import ClientHandshake
from model.log import Level
from model.task import TaskState
from tests.fakes.tasks import SHOP, FakeTaskSource, make_task
from tests.logship.forward.receiving import NANOS, Client, event_time, pack, packed, receiving
from tests.logship.harness import until
from tests.logship.recording import RecordingSink

RECORD = {"message": "paid", "level": "warning", "amount": 3, "trace_id": "ab" * 16}
FORMS: dict[str, Any] = {
    "Message": ["shop.pay", event_time(), RECORD],
    "Message with options": ["shop.pay", event_time(), RECORD, {"chunk": "c1"}],
    "Forward": ["shop.pay", [[event_time(), RECORD]], {"chunk": "c1"}],
    "PackedForward": ["shop.pay", packed(RECORD), {"chunk": "c1", "size": 1}],
    "PackedForward without a size": ["shop.pay", packed(RECORD), {"chunk": "c1"}],
    "PackedForward as a text": ["shop.pay", packed(RECORD).decode("latin-1"), {"chunk": "c1"}],
    "CompressedPackedForward": ["shop.pay", gzip.compress(packed(RECORD)), {"chunk": "c1", "compressed": "gzip"}],
    "CompressedPackedForward, zstd": ["shop.pay", zstandard.compress(packed(RECORD)), {"chunk": "c1", "compressed": "zstd"}],
    "with metadata": ["shop.pay", [[[event_time(), {"x": 1}], RECORD]], {"chunk": "c1"}],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_form_becomes_records(tmp_path: Path, form: str) -> None:
    """With time to the nanosecond, level, trace id, own fields and the application of its tag."""
    message = FORMS[form]
    if form.endswith("as a text"):  # old clients write bytes as text, which is no UTF-8 then
        data = packed(RECORD)
        raw = b"\x93" + pack("shop.pay") + b"\xda" + len(data).to_bytes(2, "big") + data + pack({"chunk": "c1"})  # fmt: skip
    else:
        raw = pack(message)
    with receiving(tmp_path) as agent, Client(agent.server.port) as client:
        client.sock.sendall(raw)
        if form != "Message":
            assert client.receive() == {"ack": "c1"}
        assert until(lambda: agent.sink.records)

    (batch,) = agent.sink.batches
    assert batch.text(0) == "paid"
    assert (int(batch.ts_ns[0]), int(batch.levels[0])) == (NANOS, Level.WARN)
    assert batch.trace_ids == {0: "ab" * 16}
    assert batch.buf[batch.fields.starts[0] : batch.fields.ends[0]] == b'{"amount":3}'
    assert (batch.identity.app, batch.identity.host, batch.stream) == ("shop", "host-1", "forward")


def test_container_lines_are_those_of_its_task(tmp_path: Path) -> None:
    """As Docker's driver sends them: parts joined, traces joined, streams apart, run and identity of the task."""
    task = make_task()
    own = {"container_id": task.identity.container_id, "container_name": "/shop-1"}
    lines: list[dict[str, Any]] = [
        {"log": '{"level":"error","msg":"first'},
        {"log": " half", "source": "stderr"},
        {"log": ' second half"}', "partial_last": "true"},
        {"log": "ERROR broken"},
        {"log": "java.lang.Oops: x"},
        {"log": "\tat a.B.c(D.java:1)"},
        {"log": "done password=hunter22"},
    ]
    for line in lines[:1] + lines[2:3]:
        line["partial_message"] = "true"
    with receiving(tmp_path, FakeTaskSource(task)) as agent, Client(agent.server.port) as client:
        for n, line in enumerate(lines):
            client.send(["any", event_time(NANOS + n), {"source": "stdout", **own, **line}, {}])
        assert until(lambda: len(agent.sink.records) == 4)
        on_disk = b"".join(p.read_bytes() for p in (tmp_path / "spool").iterdir())

    assert set(agent.sink.texts) == {
        "first second half",
        " half",
        "ERROR broken\njava.lang.Oops: x\n\tat a.B.c(D.java:1)",
        "done password=[REDACTED:key_value]",
    }
    assert {batch.identity for batch in agent.sink.batches} == {task.identity}
    assert {(b.stream, b.run) for b in agent.sink.batches} == {("stdout", 1), ("stderr", 1)}
    assert b"hunter22" not in on_disk


def test_line_of_a_container_nobody_knows_yet_waits_for_its_task(tmp_path: Path) -> None:
    """Its first lines come before the runtime's event; one that is never known has its own names."""
    tasks = FakeTaskSource()
    task = make_task(state=TaskState.RUNNING)
    with receiving(tmp_path, tasks) as agent, Client(agent.server.port) as client:
        for container in (task.identity.container_id, "f" * 64):
            client.send(["t", NANOS // 10**9, {"log": "hello", "source": "stdout", "container_id": container, "container_name": "/web"}])  # fmt: skip
        time.sleep(0.2)
        tasks.set(task)
        assert until(lambda: len(agent.sink.records) == 2)

    found = {b.identity.task_id: b.identity.app for b in agent.sink.batches}
    assert found == {task.identity.task_id: "shop", "f" * 64: "web"}


def test_message_sent_again_is_taken_once_also_after_a_restart(tmp_path: Path) -> None:
    """Who did not see its acknowledgement sends the chunk again, and gets it; a chunk that only has the same name is another."""
    sink = RecordingSink()
    message = ["shop", packed({"message": "one"}), {"chunk": "same"}]
    for _ in range(2):
        with receiving(tmp_path, sink=sink) as agent, Client(agent.server.port) as client:
            for _ in range(2):
                assert client.ask(message) == {"ack": "same"}
            assert until(lambda: sink.records)
    with receiving(tmp_path, sink=sink) as agent, Client(agent.server.port) as client:
        client.ask(["shop", packed({"message": "two"}), {"chunk": "same"}])
        assert until(lambda: len(sink.records) == 2)

    assert sink.texts == ["one", "two"]
    assert sink.repeats == 0


def test_acknowledged_part_of_a_line_survives_a_crash(tmp_path: Path) -> None:
    """It is on the disk although its record is not complete; the next process makes the record of it."""
    sink = RecordingSink()
    own = {"container_id": "f" * 64, "container_name": "/web", "source": "stdout"}
    with receiving(tmp_path, sink=sink) as agent, Client(agent.server.port) as client:
        part = {**own, "log": "first half, ", "partial_message": "true"}
        assert client.ask(["t", event_time(), part, {"chunk": "1"}]) == {"ack": "1"}
        agent.inbox.flush = lambda **_: True  # type: ignore[method-assign]  # as if killed: nothing is written any more
    assert sink.records == {}

    with receiving(tmp_path, sink=sink) as agent, Client(agent.server.port) as client:
        rest = {**own, "log": "second half", "partial_message": "true", "partial_last": "true"}
        assert client.ask(["t", event_time(), rest, {"chunk": "2"}]) == {"ack": "2"}
        assert until(lambda: sink.records)
    with receiving(tmp_path, sink=sink):
        time.sleep(0.3)

    assert sink.texts == ["first half, second half"]


def test_full_buffer_stops_acknowledging_and_recovers(tmp_path: Path) -> None:
    """Nothing is acknowledged that is not kept; with room again all of it arrives once."""
    sink = RecordingSink()
    sink.failing = _down()
    with receiving(tmp_path, sink=sink, disk_bytes=200_000) as agent, Client(agent.server.port) as client:  # fmt: skip
        client.sock.settimeout(1.5)
        chunks = [packed({"message": f"{n} " + _noise(n)}) for n in range(20)]
        acknowledged = _send_until_silent(client, chunks)
        assert 3 < acknowledged < 20
        assert "is full" in agent.shipper.status().problems[0]

        sink.failing = None
        client.sock.settimeout(30)
        assert client.receive() == {"ack": str(acknowledged)}
        for n in range(acknowledged + 1, 20):
            assert client.ask(["shop", chunks[n], {"chunk": str(n)}]) == {"ack": str(n)}
        assert until(lambda: len(sink.records) == 20)

    assert [text.split()[0] for text in sink.texts] == [str(n) for n in range(20)]
    assert sink.repeats == 0


def _send_until_silent(client: Client, chunks: list[bytes]) -> int:
    for n, chunk in enumerate(chunks):
        try:
            assert client.ask(["shop", chunk, {"chunk": str(n)}]) == {"ack": str(n)}
        except TimeoutError:
            return n
    return len(chunks)


def _down() -> Any:
    from model.errors import DeliveryError

    return DeliveryError("down", retryable=True, retry_after_seconds=0.05)


def _noise(seed: int) -> str:
    """Return 20 KB that do not compress well."""
    import random

    return random.Random(seed).randbytes(10_000).hex()


# ------------------------------------------------------------ keys and TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", f"{path}.key", "-out", path, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.key").read_text())
    return path


def test_tls_and_shared_key(tmp_path: Path, certificate: Path) -> None:
    """Together, with a message longer than a TLS record and a read."""
    server = SSLContext(PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusting = create_default_context(cafile=certificate)
    records = [{"message": f"{n} " + "x" * 1000} for n in range(500)]
    with receiving(tmp_path, tls=server, shared_key=b"secret") as agent:
        with Client(agent.server.port, trusting) as client:
            hands = ClientHandshake(b"secret", "client")
            client.sock.sendall(hands.ping(pack(client.receive())))
            hands.check(pack(client.receive()))
            assert client.ask(["shop", packed(*records), {"chunk": "c"}]) == {"ack": "c"}
        with Client(agent.server.port) as plain:
            plain.send(["shop", 1, {"message": "not encrypted"}])
            assert plain.receive() is None
        assert until(lambda: len(agent.sink.records) == 500)
        assert agent.errors("SSLError") == 1


@pytest.mark.parametrize("first", ["wrong key", "no ping", "long ping"])
def test_who_does_not_know_the_key_is_sent_away(tmp_path: Path, first: str) -> None:
    """Nothing of what it sends is taken."""
    with receiving(tmp_path, shared_key=b"secret") as agent, Client(agent.server.port) as client:
        helo = client.receive()
        assert helo[0] == "HELO"
        if first == "wrong key":
            client.sock.sendall(ClientHandshake(b"guess", "client").ping(pack(helo)))
            answer = client.receive()
            assert answer[:3] == ["PONG", False, "shared_key mismatch"]
        elif first == "no ping":
            client.send(["shop", 1, {"message": "x"}])
        else:
            client.sock.sendall(b"\x96\xa4PING\xda\xff\xff" + b"x" * 10_000)
        assert client.receive() is None
        assert agent.errors("BadMessageError") == 1
    assert agent.sink.records == {}


# ------------------------------------------------------------ bad senders


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\xc1", "BadMessageError"),
        (pack({"a": 1}), "BadMessageError"),
        (pack(["tag"]), "BadMessageError"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "BadMessageError"),
        (b"\x92\xa1t\xdd\xff\xff\xff\xff", "BadMessageError"),
        (b"\x92\xa1t\xc6\x7f\xff\xff\xff", "BadMessageError"),
        (pack(["t", b"not gzip", {"compressed": "gzip"}]), "BadMessageError"),
        (pack(["t", gzip.compress(packed({"a": 1}))[:-9], {"compressed": "gzip"}]), "BadMessageError"),
        (pack(["t", gzip.compress(bytes(17 << 20)), {"compressed": "gzip"}]), "BadMessageError"),
        (pack(["t", zstandard.compress(bytes(17 << 20)), {"compressed": "zstd"}]), "BadMessageError"),
        (pack(["t", b"", {"compressed": "lz4"}]), "BadMessageError"),
    ],
    ids=["no value", "map", "short", "http", "huge array", "huge bin", "no gzip", "cut gzip", "gzip bomb", "zstd bomb", "lz4"],
)  # fmt: skip
def test_bad_message_costs_its_own_connection_only(tmp_path: Path, data: bytes, error: str) -> None:
    """Another one goes on as if nothing had been."""
    with receiving(tmp_path) as agent, Client(agent.server.port) as good, Client(agent.server.port) as bad:  # fmt: skip
        assert good.ask(["shop", packed({"message": "1"}), {"chunk": "1"}]) == {"ack": "1"}
        bad.sock.sendall(data)
        assert bad.receive() is None
        assert agent.errors(error) == 1
        assert good.ask(["shop", packed({"message": "2"}), {"chunk": "2"}]) == {"ack": "2"}
        assert until(lambda: len(agent.sink.records) == 2)


def test_slow_senders_are_closed_and_keep_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A message that is never finished has its time, a long one less; an idle connection may stay."""
    monkeypatch.setattr(connections, "MESSAGE_SECONDS", 1.0)
    monkeypatch.setattr(connections, "PLACE_SECONDS", 0.5)
    with receiving(tmp_path, message_bytes=1 << 20, memory_bytes=2 << 20) as agent, ExitStack() as stack:  # fmt: skip
        idle = stack.enter_context(Client(agent.server.port))
        slow = [stack.enter_context(Client(agent.server.port)) for _ in range(20)]
        for n, client in enumerate(slow):
            client.sock.sendall(b"\x92\xa4slow\xc6\x00\x08\x00\x00" + b"x" * (20_000 if n < 10 else 5))  # fmt: skip
        began = time.monotonic()
        with Client(agent.server.port) as good:
            for n in range(5):
                assert good.ask(["shop", packed({"message": "z" * 100}), {"chunk": str(n)}])
            assert time.monotonic() - began < 2
            for client in slow[10:]:
                assert client.receive() is None
            long = ["shop", packed({"message": "long " + "y" * 100_000}), {"chunk": "long"}]
            assert good.ask(long) == {"ack": "long"}
        for client in slow[:10]:
            assert client.receive() is None
        assert idle.ask(["shop", packed({"message": "still here"}), {"chunk": "i"}]) == {"ack": "i"}
        assert agent.errors("TimeoutError") == 20


def test_too_many_connections_are_refused_one_by_one(tmp_path: Path) -> None:
    """Those that are there go on."""
    with receiving(tmp_path, connections_max=3) as agent, ExitStack() as stack:
        clients = [stack.enter_context(Client(agent.server.port)) for _ in range(3)]
        assert clients[0].ask(["s", packed({"message": "1"}), {"chunk": "1"}])
        with Client(agent.server.port) as more:
            assert more.receive() is None
        assert clients[2].ask(["s", packed({"message": "2"}), {"chunk": "2"}])
        clients[1].sock.close()
        assert until(lambda: _served(agent.server.port))


def _served(port: int) -> bool:
    with Client(port) as client:
        return bool(client.ask(["s", packed({"message": "3"}), {"chunk": "3"}]))


def test_port_in_use_is_a_problem_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Start does not fail for it."""
    monkeypatch.setattr("logship.source.forward.server.LISTEN_RETRY_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        parts = _at_port(tmp_path, port)
        parts.start()
        assert "cannot listen" in parts.server.problem
    try:
        assert until(lambda: not parts.server.problem)
        assert _served(port)
    finally:
        parts.stop()


def _at_port(directory: Path, port: int) -> Any:
    from logship.source.forward.server import ForwardServer, ForwardSettings
    from tests.logship.forward.receiving import Receiving

    parts = Receiving(directory, FakeTaskSource(), RecordingSink())
    parts.server = ForwardServer(ForwardSettings(port=port), parts.inbox, parts.shipper.metrics)
    return parts


def test_identity_from_known_keys(tmp_path: Path) -> None:
    """A container id of a known task is that task; other keys name app, namespace and instance."""
    with receiving(tmp_path, FakeTaskSource(make_task())) as agent, Client(agent.server.port) as client:  # fmt: skip
        client.send(["a.b", 1_795_341_600, {"message": "1", "container.id": "shop-1-id"}])
        client.send(["a.b", 1_795_341_600, {"message": "2", "service.name": "pay", "service.namespace": "eu", "service.instance.id": "i1"}])  # fmt: skip
        client.send(["a.b", 1_795_341_600, {"message": "3", "service": {"name": "cart"}}])
        client.send(["a.b", 1_795_341_600, "no map"])
        assert until(lambda: len(agent.sink.records) == 4)

    found = {b.text(0): (b.identity.app, b.identity.namespace, b.identity.task_id) for b in agent.sink.batches}  # fmt: skip
    assert found == {
        "1": (SHOP.app, "default", "shop-1-id"),
        "2": ("pay", "eu", "i1"),
        "3": ("cart", "", "forward/cart"),
        "no map": ("a", "", "forward/a"),
    }

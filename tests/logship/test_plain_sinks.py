"""The sinks that are no stores: forward with acknowledgements, and standard output."""

import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import msgspec
import numpy as np
import pytest

from logship.sink.forward import ForwardSink
from logship.sink.stdout import StdoutSink
from logship.source.forward.message import decode
from logship.source.forward.scanner import Scanner
from model.errors import DeliveryError
from model.log import LogBatch
from tests.logship.forward.receiving import receiving
from tests.logship.harness import parse, until


def batch_of(*texts: str, start: int = 0) -> LogBatch:
    """Return a batch of plain lines."""
    (batch,) = parse("\n".join(texts) + "\n", start=start).batches
    return batch


class Fluentd:
    """A forward receiver that keeps messages, and can be told how to answer."""

    def __init__(self, answers: list[str]) -> None:
        self.messages: list[Any] = []
        self.raw: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with sock:
                if not self._answer(sock):
                    return

    def _answer(self, sock: socket.socket) -> bool:
        """Serve one connection; False at the end."""
        data, scanner = b"", Scanner(1 << 24)
        while part := sock.recv(1 << 16):
            if part == b"stop":
                return False
            data += part
            while data and (end := scanner.find(data)) >= 0:
                self.raw.append(data[:end])
                self.messages.append(message := decode(data[:end]))
                data = data[end:]
                how = self._answers.pop(0) if self._answers else "ack"
                if how == "close":
                    return True
                chunk = "another" if how == "wrong" else message.chunk if message else ""
                if how != "nothing":
                    sock.sendall(msgspec.msgpack.encode({"ack": chunk}))
        return True

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"stop")
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize("compress", [True, False])
def test_documents_arrive_with_nanoseconds(compress: bool) -> None:
    """As maps under the tag, in one message per batch, each acknowledged."""
    fluentd = Fluentd([])
    sink = ForwardSink(f"tcp://127.0.0.1:{fluentd.port}", tag="logs.x", compress=compress)
    first = batch_of('{"msg":"one","level":"warn","n":1,"ts":"2026-11-22T09:59:00.123456789Z"}', "two")  # fmt: skip
    deliveries = sink.write([first, batch_of("three", start=100)], 5.0)
    sink.write([batch_of("four", start=200)], 5.0)
    sink.close()
    sink.close()
    fluentd.stop()

    assert [delivery.status.tolist() for delivery in deliveries] == [[201, 201], [201]]
    assert [m.tag for m in fluentd.messages] == ["logs.x"] * 3
    records = [record for message in fluentd.messages for record in message.records]
    assert [record["message"] for record in records] == ["one", "two", "three", "four"]
    assert fluentd.messages[0].times[0] == 1_795_341_540_123_456_789
    assert records[0]["log.level"] == "warn"
    assert records[0]["fields"] == {"n": 1}
    assert records[0]["service.name"] == "shop"
    assert len({m.chunk for m in fluentd.messages}) == 3


@pytest.mark.parametrize("answer", ["nothing", "close", "wrong"])
def test_what_is_not_acknowledged_is_not_delivered(answer: str) -> None:
    """It is sent again under the same name."""
    fluentd = Fluentd([answer])
    sink = ForwardSink(f"tcp://127.0.0.1:{fluentd.port}")
    with pytest.raises(DeliveryError) as error:
        sink.write([batch_of("one")], 0.3)
    sink.write([batch_of("one")], 5.0)
    sink.close()
    fluentd.stop()

    assert error.value.retryable
    assert fluentd.messages[0].chunk == fluentd.messages[1].chunk


def test_receiver_that_is_away() -> None:
    """Said in words, before there is anything to send."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sink = ForwardSink(f"tcp://127.0.0.1:{port}")

    with pytest.raises(DeliveryError, match=f"the forward receiver at 127.0.0.1:{port}: Connection refused"):  # fmt: skip
        sink.check(1.0)


def test_between_two_of_us_with_tls_and_key(tmp_path: Path) -> None:
    """Our own server takes what our own sink sends; a chunk sent twice is there once; another key is refused."""
    certificate, key, secret, wrong = (tmp_path / name for name in ("c.pem", "k.pem", "secret", "wrong"))  # fmt: skip
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    secret.write_text("secret\n")
    wrong.write_text("guess")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receiving(tmp_path, tls=context, shared_key=b"secret") as agent:
        where = f"tls://localhost:{agent.server.port}"
        sink = ForwardSink(where, shared_key_file=str(secret), ca_file=str(certificate))
        sink.write([batch_of("one", "two")], 5.0)
        sink.close()
        sink.write([batch_of("one", "two")], 5.0)
        sink.close()
        guessing = ForwardSink(where, shared_key_file=str(wrong), ca_file=str(certificate))
        with pytest.raises(DeliveryError, match="the server refuses: shared_key mismatch") as refused:  # fmt: skip
            guessing.write([batch_of("three")], 5.0)
        with pytest.raises(DeliveryError, match="certificate verify failed"):
            ForwardSink(where, shared_key_file=str(secret)).write([batch_of("four")], 5.0)
        assert until(lambda: len(agent.sink.records) == 2)

    assert not refused.value.retryable
    assert agent.sink.texts == ["one", "two"]
    assert {b.identity.app for b in agent.sink.batches} == {"shop"}


def test_stdout_writes_documents_by_line() -> None:
    """Whole ones; a pipe that was closed is an error to be tried again."""
    reading, writing = os.pipe()
    sink = StdoutSink(writing)
    (delivery,) = sink.write([batch_of("one", '{"msg":"two","n":1}')], 5.0)
    lines = [json.loads(line) for line in os.read(reading, 1 << 16).splitlines()]
    os.close(reading)

    assert (delivery.status == np.int16(201)).all()
    assert [line["message"] for line in lines] == ["one", "two"]
    with pytest.raises(DeliveryError, match="standard output takes nothing: Broken pipe") as error:
        sink.write([batch_of("three")], 5.0)
    os.close(writing)
    assert error.value.retryable

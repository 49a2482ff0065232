"""Liveness, readiness, reload, own metrics, status, ingest."""

import logging

import pytest

from model.errors import ConfigError, Problem, StorageError
from storage.interface import BadWriteError, Written
from tests.web.conftest import MakeClient, body

WRITE = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


def test_healthy_and_ready(make_client: MakeClient) -> None:
    """Ready only when the parts say so."""
    assert make_client().get("/-/healthy").status_code == 200
    assert make_client().get("/-/ready").status_code == 200
    assert make_client(ready=lambda: False).get("/-/ready").status_code == 503


def test_metrics_are_the_exposition_as_it_is(make_client: MakeClient) -> None:
    """In the text format that Prometheus reads."""
    answer = make_client(exposition=lambda: b"up 1\n").get("/metrics")

    assert answer.data == b"up 1\n"
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_reload(make_client: MakeClient) -> None:
    """POST reloads; GET changes nothing."""
    done = []
    client = make_client(reload=lambda: done.append(1))

    assert client.get("/-/reload").status_code == 405
    assert client.post("/-/reload").status_code == 200
    assert done == [1]


def test_reload_of_a_wrong_file_names_every_problem(make_client: MakeClient) -> None:
    """The configuration stays as it was."""

    def reload() -> None:
        raise ConfigError([Problem("c.yml", 3, 5, "web.prot", "unknown key; did you mean port?")])

    answer = make_client(reload=reload).post("/-/reload")

    assert answer.status_code == 400
    assert "c.yml:3:5: web.prot: unknown key; did you mean port?" in answer.text


def test_reload_where_there_is_none(make_client: MakeClient) -> None:
    """A sentence says what to do."""
    answer = make_client().post("/-/reload")

    assert answer.status_code == 404
    assert "restart" in answer.text


def test_status_is_the_parts_with_the_version(make_client: MakeClient) -> None:
    """The page shows what is there."""
    answer = make_client(status=lambda: {"found": ["Docker"]}).get("/api/status")

    assert body(answer) == {"version": "0.1.0", "found": ["Docker"]}


def test_remote_write_hands_over_the_body(make_client: MakeClient) -> None:
    """204 once it is durable."""
    bodies = []

    def take(body: bytes, version: int) -> Written:
        bodies.append((body, version))
        return Written(7)

    answer = make_client(remote_write=take).post("/api/v1/write", data=b"\x00\x01", headers=WRITE)

    assert (answer.status_code, answer.data) == (204, b"")
    assert bodies == [(b"\x00\x01", 1)]


WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
WRITE_2 = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}


@pytest.mark.parametrize("bad", [False, True])
def test_remote_write_2_is_told_what_was_written(make_client: MakeClient, bad: bool) -> None:
    """In headers, also where a part of the request was refused with 400."""

    def take(body: bytes, version: int) -> Written:
        written = Written(7, version, 1)
        if bad:
            raise BadWriteError("1 series is not valid", written)
        return written

    answer = make_client(remote_write=take).post("/api/v1/write", data=b"x", headers=WRITE_2)

    assert answer.status_code == (400 if bad else 204)
    kinds = ("Samples", "Histograms", "Exemplars")
    assert [answer.headers[WRITTEN.format(kind)] for kind in kinds] == ["7", "2", "1"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
        {"Content-Type": "application/x-protobuf", "Content-Encoding": "zstd"},
    ],
)
def test_other_forms_of_remote_write_are_415(
    make_client: MakeClient, headers: dict[str, str]
) -> None:
    """Prometheus falls back to 1.0 when it hears that."""
    client = make_client(remote_write=lambda body, version: Written())

    assert client.post("/api/v1/write", data=b"x", headers=headers).status_code == 415


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("corrupt input"), 400), (StorageError("disk full"), 500)]
)
def test_sender_is_told_whether_to_try_again(
    make_client: MakeClient, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """400 is never sent again, 500 is."""

    def take(body: bytes, version: int) -> Written:
        raise error

    caplog.set_level(logging.CRITICAL)
    answer = make_client(remote_write=take).post("/api/v1/write", data=b"x", headers=WRITE)

    assert answer.status_code == status
    assert str(error) in answer.text


def test_agents_deliver(make_client: MakeClient) -> None:
    """Logs are answered with what became of them, state with nothing."""
    states: list[bytes] = []
    client = make_client(ingest_logs=bytes.upper, ingest_state=states.append)

    assert client.post("/api/agent/logs", data=b"abc").data == b"ABC"
    assert client.post("/api/agent/state", data=b"xyz").status_code == 204
    assert states == [b"xyz"]


def test_agent_takes_nothing_in(make_client: MakeClient) -> None:
    """A process without stores says where to send."""
    client = make_client()
    for path in ("/api/agent/logs", "/api/agent/state", "/api/v1/write"):
        answer = client.post(path, data=b"")
        assert answer.status_code == 404, path
        assert "Taskscope server" in answer.text, path


def test_unknown_api_path_is_json_and_unknown_page_is_a_page(make_client: MakeClient) -> None:
    """Programs and people each get what they can read."""
    client = make_client()

    assert client.get("/api/nothing").content_type == "application/json"
    page = client.get("/nothing")
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "There is no such page" in page.text

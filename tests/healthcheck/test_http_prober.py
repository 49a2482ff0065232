"""The HTTP prober's truth table against real servers on loopback."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from healthcheck.check import parse_status_ranges
from healthcheck.prober.http import probe_http
from healthcheck.prober.outcome import Outcome
from model.health import Probe
from tests.healthcheck import servers
from tests.healthcheck.servers import Behaviour, answer, redirects, serve


def probe(port: int, path: str = "/health", **options: Any) -> Outcome:
    """Probe with the defaults and a short time."""
    defaults: dict[str, Any] = {
        "tls": False,
        "status": ((200, 399),),
        "body_regex": "",
        "verify_certificate": False,
        "timeout_seconds": 0.4,
    }
    return probe_http("127.0.0.1", port, path, **(defaults | options))


@pytest.mark.parametrize(
    ("behaviour", "options", "want", "said"),
    [
        (answer(), {}, "pass", "status 200"),
        (answer("204 No Content", length=False), {}, "pass", "status 204"),
        (answer("399 Odd"), {}, "pass", "status 399"),
        (answer("404 Not Found"), {}, "fail", "status 404"),
        (answer("500 Oops", b"db is down"), {}, "fail", "status 500: db is down"),
        (answer("500 Oops"), {"status": parse_status_ranges("500-599")}, "pass", "status 500"),
        (answer("201 Made"), {"status": parse_status_ranges("200,204")}, "fail", "status 201"),
        (answer(body=b"all is well"), {"body_regex": "is w[e]ll"}, "pass", "status 200"),
        (answer(body=b"DOWN"), {"body_regex": "UP"}, "fail", "does not match 'UP': DOWN"),
        (answer(body=b"\xff\xfeUP"), {"body_regex": "UP"}, "pass", "status 200"),
        (servers.chunked, {"body_regex": "is well"}, "pass", "status 200"),
        (
            answer(body=b"x"),
            {"body_regex": "("},
            "error",
            "body_regex is no valid RE2 pattern: missing )",
        ),
        (servers.hang, {}, "fail", "no whole answer within 0.4 s"),
        (servers.half_header, {}, "fail", "no whole answer within 0.4 s"),
        (servers.drip, {}, "fail", "no whole answer within 0.4 s"),
        (servers.slow_body, {}, "pass", "status 200"),  # nobody asked for the body
        (servers.slow_body, {"body_regex": "y"}, "fail", "no whole answer within 0.4 s"),
        (servers.endless, {}, "pass", "status 200"),
        (servers.endless, {"body_regex": "y"}, "fail", "does not match"),
        (servers.reset, {}, "fail", "Connection reset by peer"),
        (servers.hang_up, {}, "fail", "no HTTP answer"),
        (servers.garbage, {}, "fail", "no HTTP answer"),
        (servers.big_head, {}, "fail", "no HTTP answer"),
        (redirects(lambda path: "" if path == "/b" else "/b"), {}, "pass", "/b: status 200"),
        (redirects(lambda path: "/a" if path == "/b" else "/b"), {}, "fail", "in a circle"),
        (redirects(lambda path: path + "x"), {}, "fail", "more than 5 redirects"),
        (redirects(lambda path: "http://169.254.169.254/"), {}, "pass", "status 302"),
        (redirects(lambda path: "http://127.0.0.1:1/"), {}, "pass", "status 302"),
        (redirects(lambda path: "//example.com/"), {"status": ((200, 200),)}, "fail", "status 302"),
        (answer("200 OK"), {"tls": True}, "fail", "https://"),
    ],
)
def test_truth_table(behaviour: Behaviour, options: dict[str, Any], want: str, said: str) -> None:
    """What a server does gives this result, with a reason a person can use, and in time."""
    began = time.monotonic()
    with serve(behaviour) as port:
        outcome = probe(port, **options)
        took = time.monotonic() - began

    assert outcome.probe.value == want
    assert said in outcome.output
    assert took < 2


@pytest.mark.parametrize(("verify", "want"), [(False, "pass"), (True, "fail")])
def test_certificate_of_its_own(tmp_path: Path, verify: bool, want: str) -> None:
    """A task's own certificate passes unless the operator wants it verified."""
    with serve(answer(), servers.self_signed(tmp_path)) as port:
        outcome = probe(port, tls=True, verify_certificate=verify, timeout_seconds=2.0)

    assert outcome.probe.value == want
    assert ("self-signed" in outcome.output) is verify


def test_tls_handshake_that_hangs() -> None:
    """A server that accepts and never shakes hands fails in time."""
    with serve(servers.hang) as port:
        outcome = probe(port, tls=True)

    assert outcome.probe is Probe.FAIL
    assert "within 0.4 s" in outcome.output


def test_nobody_listens() -> None:
    """A refused connection is the task's failure."""
    outcome = probe(servers.free_port())

    assert outcome.probe is Probe.FAIL
    assert "Connection refused" in outcome.output


@pytest.mark.parametrize(
    ("number", "want", "reason"),
    [
        (errno.EMFILE, Probe.ERROR, "files"),
        (errno.EADDRNOTAVAIL, Probe.ERROR, "ports"),
        (errno.ENETUNREACH, Probe.ERROR, "network"),
        (errno.EPERM, Probe.ERROR, "rights"),
        (errno.EHOSTUNREACH, Probe.FAIL, ""),
        (errno.ECONNREFUSED, Probe.FAIL, ""),
    ],
)
def test_own_failures_are_errors(
    monkeypatch: pytest.MonkeyPatch, number: int, want: Probe, reason: str
) -> None:
    """What goes wrong on this side says nothing about the task."""

    def fail(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("socket.create_connection", fail)
    outcome = probe(80)

    assert (outcome.probe, outcome.reason) == (want, reason)


def test_request_is_proper() -> None:
    """The request names its host, asks for one answer only, and carries no more than it must."""
    seen: list[str] = []

    def remember(connection: Any) -> None:
        seen.append(servers.request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serve(remember) as port:
        probe(port, "/healthz?deep=1")

    assert seen[0].split("\r\n")[:2] == ["GET /healthz?deep=1 HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    assert "Connection: close" in seen[0]

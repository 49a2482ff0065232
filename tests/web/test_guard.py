"""Host on every request, Origin on every write."""

import pytest
from prometheus_client import CollectorRegistry

from storage.interface import Written
from tests.web.conftest import MakeClient, bare_parts, body
from web.app import create_app
from web.guard import host_is_ours

ALLOWED = frozenset({"taskscope.lan", "proxy:8443"})


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:9800", True),
        ("127.0.0.1:9800", True),
        ("[::1]:9800", True),
        ("LOCALHOST:9800", True),
        ("localhost", False),
        ("localhost:9801", False),
        ("127.0.0.1.evil.example:9800", False),
        ("evil.example", False),
        ("evil.example:9800", False),
        ("localhost:9800@evil.example", False),
        ("[::1", False),
        ("", False),
        (":9800", False),
        ("taskscope.lan", True),
        ("taskscope.lan:443", True),
        ("proxy:8443", True),
        ("proxy:80", False),
        ("proxy", False),
    ],
)
def test_host_is_a_loopback_name_with_our_port_or_allowed(host: str, ours: bool) -> None:
    """A rebound name never passes."""
    assert host_is_ours(host, "9800", ALLOWED) is ours


def test_rebound_name_gets_nothing(make_client: MakeClient) -> None:
    """Every endpoint refuses it with 421, also those that only read."""
    client = make_client()
    for path in ("/", "/api/tasks", "/metrics", "/static/js/theme.js", "/nothing"):
        answer = client.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 421, path
        assert "allowed_hosts" in answer.text


def test_allowed_host_is_let_through() -> None:
    """A proxy's name can be listed."""
    app = create_app(bare_parts(allowed_hosts=("Taskscope.LAN",)), CollectorRegistry())

    answer = app.test_client().get("/-/healthy", headers={"Host": "taskscope.lan"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:80"}, 403),  # Host says localhost without a port
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "file://"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/-/reload", "/api/v1/write", "/api/agent/state"])
def test_write_is_taken_from_our_pages_and_from_programs(
    make_client: MakeClient, path: str, headers: dict[str, str], status: int
) -> None:
    """Another site's page cannot make a browser change anything."""
    taken: list[int] = []

    def take(sent: bytes = b"") -> int:
        taken.append(len(sent))
        return 0

    def write(sent: bytes, version: int) -> Written:
        return Written(take(sent))

    client = make_client(reload=take, remote_write=write, ingest_state=take)
    answer = client.post(path, headers={"Host": "localhost", **headers})

    assert (answer.status_code if answer.status_code >= 400 else 200) == status
    assert bool(taken) is (status == 200)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/tasks", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("/api/tasks", {"Sec-Fetch-Site": "same-site"}, 404),
        ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("/api/logs/tail", {"Sec-Fetch-Site": "same-site"}, 403),
        ("/api/logs/tail", {"Sec-Fetch-Site": "same-origin"}, 404),
    ],
)
def test_reading_from_another_site(
    make_client: MakeClient, path: str, headers: dict[str, str], status: int
) -> None:
    """A link from elsewhere opens a page; a script elsewhere gets nothing, and no stream at all."""
    assert make_client().get(path, headers=headers).status_code == status


def test_query_form_is_a_read(make_client: MakeClient) -> None:
    """POST /api/v1/query changes nothing, so Origin does not matter (Grafana's proxy sends its own)."""
    answer = make_client().post("/api/v1/query", headers={"Origin": "http://grafana.lan"})

    assert answer.status_code == 404
    assert body(answer)["errorType"] == "not_found"


def test_every_answer_carries_the_security_headers(make_client: MakeClient) -> None:
    """Also refusals and errors."""
    client = make_client()
    for path, host in (("/", "localhost"), ("/nothing", "localhost"), ("/", "evil.example")):
        headers = client.get(path, headers={"Host": host}).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


def test_refusals_are_counted(make_client: MakeClient) -> None:
    """An operator sees that somebody tries."""
    registry = CollectorRegistry()
    client = create_app(bare_parts(), registry).test_client()
    client.get("/", headers={"Host": "evil.example"})
    client.post("/-/reload", headers={"Origin": "http://evil.example"})

    def count(reason: str) -> float | None:
        return registry.get_sample_value("taskscope_web_refused_requests_total", {"reason": reason})

    assert (count("host"), count("origin")) == (1, 1)

"""Answers in fewer bytes."""

import gzip
import http.client
import json
from collections.abc import Iterable
from typing import Any

import pytest
import zstandard
from flask.testing import FlaskClient
from werkzeug.test import Client

from tests.web.conftest import MakeClient
from web.compress import MIN_BYTES, chosen, compressed
from web.server import WebServer

LONG = "/api/v1/series?match[]=%7B__name__!=''%7D"
QUERY = "/api/v1/query_range?query=vector(1)&start=0&end=1000&step=1"
SCRIPT = "/static/vendor/uplot/uPlot.esm.js"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("GZIP;Q=1.0", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=nonsense", ""),
        ("identity", ""),
        ("deflate, br", ""),
        ("*", ""),
        (";;,,", ""),
    ],
)
def test_the_client_chooses(accepted: str, coding: str) -> None:
    """By name and weight."""
    assert chosen(accepted) == coding


def unpacked(data: bytes, coding: str) -> bytes:
    """Return what was compressed."""
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return gzip.decompress(data)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("path", [LONG, QUERY, "/metrics", SCRIPT, "/"])
def test_what_comes_is_what_comes_uncompressed(
    demo_client: FlaskClient, path: str, coding: str
) -> None:
    """For JSON, text, console files and pages; HEAD says the same of it."""
    plain = demo_client.get(path, buffered=True)
    found = demo_client.get(path, headers={"Accept-Encoding": coding})

    assert found.headers["Content-Encoding"] == coding
    assert found.headers["Vary"] == "Accept-Encoding"
    assert found.content_type == plain.content_type
    assert int(found.headers["Content-Length"]) == len(found.data) < len(plain.data)
    if path != "/metrics":  # which counts requests
        assert unpacked(found.data, coding) == plain.data
        head = demo_client.head(path, headers={"Accept-Encoding": coding})
        assert head.data == b""
        assert head.headers == found.headers
    assert "Content-Encoding" not in plain.headers


def test_short_answers_go_as_they_are(demo_client: FlaskClient) -> None:
    """They fit a packet anyway; so do those of HEAD."""
    for method in ("GET", "HEAD"):
        found = demo_client.open("/-/healthy", method=method, headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in found.headers
        assert found.headers["Content-Length"] == "22"


def test_errors_are_compressed_as_answers_are(make_client: MakeClient) -> None:
    """A long query that is wrong is quoted."""
    wrong = {"query": "x" * 2 * MIN_BYTES + "(1)"}
    headers = {"Accept-Encoding": "gzip"}
    found = make_client().post("/api/v1/format_query", data=wrong, headers=headers)
    assert found.status_code == 400
    assert json.loads(gzip.decompress(found.data))["errorType"] == "bad_data"


def test_a_file_that_is_known_is_not_sent_again(demo_client: FlaskClient) -> None:
    """The ETag of a compressed answer is weak, as it is not of the same bytes, and still 304."""
    headers = {"Accept-Encoding": "gzip"}
    plain = demo_client.get(SCRIPT, buffered=True)
    found = demo_client.get(SCRIPT, headers=headers)
    tag = found.headers["ETag"]
    assert tag == f"W/{plain.headers['ETag']}"
    assert "Accept-Ranges" not in found.headers
    for accepted in (headers, {}):
        known = {"If-None-Match": tag, **accepted}
        again = demo_client.get(SCRIPT, headers=known, buffered=True)
        assert again.status_code == 304
        assert again.data == b""
    known = {"If-None-Match": tag, **headers}
    again = demo_client.get(SCRIPT, headers=known, buffered=True)
    assert (again.headers["ETag"], again.headers["Vary"]) == (tag, "Accept-Encoding")


def test_a_part_of_a_file_is_not_compressed(demo_client: FlaskClient) -> None:
    """Its bytes were counted uncompressed."""
    headers = {"Accept-Encoding": "gzip", "Range": "bytes=0-1999"}
    found = demo_client.get(SCRIPT, headers=headers, buffered=True)
    assert found.status_code == 206
    assert "Content-Encoding" not in found.headers
    assert len(found.data) == 2000


class Body:
    """A body that says when it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.taken = 0
        self.closed = False

    def __iter__(self) -> Any:
        for piece in self.pieces:
            self.taken += 1
            yield piece

    def close(self) -> None:
        self.closed = True


def asked(body: Body, method: str = "GET", **headers: str) -> Any:
    """Ask an app that answers with a body."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [(name.replace("_", "-"), text) for name, text in headers.items()])
        return body

    accepted = {"Accept-Encoding": "gzip"}
    return Client(compressed(app)).open("/", method=method, headers=accepted, buffered=True)


def test_pieces_of_unknown_number_are_compressed_as_they_come() -> None:
    """And the body is closed at the end."""
    body = Body(*[b"%d," % n for n in range(10_000)])
    found = asked(body, Content_Type="application/json", Vary="Origin")
    assert gzip.decompress(found.data) == b"".join(body.pieces)
    assert "Content-Length" not in found.headers
    assert found.headers["Vary"] == "Origin, Accept-Encoding"
    assert body.closed


def test_head_of_a_stream_reads_nothing_of_it() -> None:
    """It is closed at once."""
    for kind in ("application/json", "text/event-stream"):
        body = Body(b"x" * 5_000)
        assert asked(body, "HEAD", Content_Type=kind).data == b""
        assert (body.taken, body.closed) == (0, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/event-stream; charset=utf-8"},
        {"Content_Type": "image/png", "Content_Length": "5000"},
        {"Content_Type": "application/json", "Content_Encoding": "br"},
        {"Content_Length": "5000"},
    ],
)
def test_other_answers_are_not_touched(headers: dict[str, str]) -> None:
    """Streams of events, pictures, what is compressed already."""
    body = Body(b"x" * 5_000)
    found = asked(body, **headers)
    assert found.data == body.pieces[0]
    assert found.headers.get("Content-Encoding") == headers.get("Content_Encoding")
    assert body.closed


def test_over_a_socket(demo_server: WebServer) -> None:
    """One kept connection: compressed, HEAD, 304, not compressed."""
    connection = http.client.HTTPConnection("127.0.0.1", demo_server.port, timeout=5)
    seen = []
    for method, path, accepted in (
        ("GET", LONG, "gzip"), ("HEAD", LONG, "gzip"), ("GET", LONG, ""), ("GET", SCRIPT, "gzip"),
    ):  # fmt: skip
        connection.request(method, path, headers={"Accept-Encoding": accepted})
        response = connection.getresponse()
        seen.append((response.read(), response.headers["Content-Length"]))
    connection.close()

    assert gzip.decompress(seen[0][0]) == seen[2][0]
    assert seen[1] == (b"", seen[0][1])
    assert gzip.decompress(seen[3][0]).startswith(b"/*")

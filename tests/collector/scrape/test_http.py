"""One response, taken in byte by byte and whole."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.scrape.http import FetchError, Response

BODY = b"a 1\nb 2\n"
ZIPPED = gzip.compress(BODY)


def head(*lines: str, status: str = "200 OK") -> bytes:
    """Return a response's head."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def taken(data: bytes, step: int, limit: int = 0) -> Response:
    """Feed a response in pieces, then close."""
    response = Response(limit)
    for at in range(0, len(data), step):
        if response.done:
            break
        response.feed(data[at : at + step])
    response.close()
    return response


@pytest.mark.parametrize("step", [1, 3, 7, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        head("Content-Length: 8") + BODY,
        head() + BODY,  # until the connection closes
        head("Transfer-Encoding: chunked") + b"3\r\na 1\r\n5;x=y\r\n\nb 2\n\r\n0\r\nTrailer: 1\r\n\r\n",
        head("Content-Encoding: gzip", f"Content-Length: {len(ZIPPED)}") + ZIPPED,
        head("content-encoding: GZIP", "transfer-encoding: Chunked") + b"%x\r\n" % len(ZIPPED) + ZIPPED + b"\r\n0\r\n\r\n",
        head(status="100 Continue") + head("Content-Length: 8") + BODY,
    ],
)  # fmt: skip
def test_a_body_comes_whole(data: bytes, step: int) -> None:
    """By length, in chunks, until close, packed; in pieces of any size."""
    response = taken(data, step)

    assert (response.status, response.done, response.body()) == (200, True, BODY)


@pytest.mark.parametrize(
    ("data", "limit", "reason"),
    [
        (b"\x16\x03\x01 not http at all", 0, "not_http"),
        (b"SSH-2.0-OpenSSH_9\r\n", 0, "not_http"),
        (b"HTTP/2 200\r\n\r\n", 0, "not_http"),
        (b"HTTP/1.1 abc\r\n\r\n", 0, "not_http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, 0, "not_http"),
        (head("Content-Length: -5"), 0, "not_http"),
        (head("Content-Length: 99999999999999999999"), 0, "not_http"),
        (head("Transfer-Encoding: chunked") + b"zz\r\n", 0, "not_http"),
        (head("Transfer-Encoding: chunked") + b"1\r\naXX\r\n", 0, "not_http"),
        (head("Transfer-Encoding: chunked") + b"1" * 2000, 0, "not_http"),
        (head("Content-Length: 8") + b"a 1\n", 0, "closed"),
        (head("Transfer-Encoding: chunked") + b"8\r\na 1\n", 0, "closed"),
        (head("Content-Length: 3") + b"a 1\nb", 0, "not_http"),
        (head("Content-Length: 8") + BODY, 7, "body_too_large"),
        (head() + BODY, 7, "body_too_large"),
        (head("Content-Encoding: br", "Content-Length: 8") + BODY, 0, "bad_encoding"),
        (head("Content-Encoding: gzip", "Content-Length: 8") + BODY, 0, "bad_encoding"),
        (head("Content-Encoding: gzip") + ZIPPED[:-4], 0, "bad_encoding"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_why(data: bytes, limit: int, reason: str) -> None:
    """Each kind of bad response has its word."""
    with pytest.raises(FetchError) as caught:
        taken(data, 1000, limit).body()

    assert caught.value.reason == reason


def test_a_small_body_that_unpacks_to_a_large_one_stops_at_the_limit() -> None:
    """A gzip bomb is given up at the limit, not unpacked whole."""
    bomb = gzip.compress(b"\0" * (64 << 20))
    response = Response(1 << 20)

    with pytest.raises(FetchError, match="larger than 1048576 bytes"):
        response.feed(head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb)


@pytest.mark.parametrize(
    ("lines", "kept"),
    [((), True), (("Connection: close",), False), (("Connection: keep-alive",), True)],
)
def test_whether_the_connection_is_kept(lines: tuple[str, ...], kept: bool) -> None:
    """HTTP/1.1 keeps connections unless told otherwise."""
    response = Response(0)
    response.feed(head("Content-Length: 0", *lines))

    assert response.keep_alive is kept
    assert response.done


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("at_first", [0, 1, 7])
def test_a_plain_body_is_received_in_its_place(at_first: int, step: int) -> None:
    """What is behind the head is fed with it, the rest goes where ``room`` says."""
    response = Response(0)
    response.feed(head("Content-Length: 8") + BODY[:at_first])
    left = BODY[at_first:]
    while not response.done:
        room = response.room()
        assert room is not None
        assert len(room) == len(left)
        room[:step] = left[:step]
        response.filled(len(left[:step]))
        left = left[step:]

    assert (response.body(), response.body_bytes) == (BODY, len(BODY))


@pytest.mark.parametrize(
    "lines",
    [
        ["Transfer-Encoding: chunked"],
        ["Content-Encoding: gzip", "Content-Length: 8"],
        ["Content-Length: 999999999999"],  # no such memory is taken on a mere claim
        [],
    ],
)
def test_other_bodies_have_no_place(lines: list[str]) -> None:
    """Where the size is not known, or not to be believed, everything is fed."""
    response = Response(0)
    response.feed(head(*lines))

    assert response.room() is None


def outcome(pieces: list[bytes]) -> str:
    """Feed pieces, then close; returns ``body`` or the reason why there is none."""
    response = Response(100)
    try:
        for piece in pieces:
            response.feed(piece)
        response.close()
        response.body()
    except FetchError as error:
        return error.reason
    return "body"


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_any_bytes_are_a_response_or_a_reason(pieces: list[bytes], begun: bool) -> None:
    """Whatever comes: a body or one of the known reasons."""
    known = {"body", "not_http", "closed", "body_too_large", "bad_encoding"}

    assert outcome([head("Transfer-Encoding: chunked"), *pieces] if begun else pieces) in known

"""Answers in fewer bytes for clients that say they take them: gzip, or zstd.

Wraps a WSGI app. Level 1 throughout: an answer is made once and read once. Streams of events go as
they are, what is short too. A request without Accept-Encoding passes straight through.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MIN_BYTES: Final = 1_000  # less fits one packet anyway
_LEVEL: Final = 1
_TYPES: Final = frozenset({
    "application/javascript", "application/json", "image/svg+xml", "text/css", "text/html",
    "text/javascript", "text/markdown", "text/plain",
})  # fmt: skip
_GZIP_FORMAT: Final = 31  # of zlib's wbits

Headers = list[tuple[str, str]]


class Coder(Protocol):
    """Compresses bytes that come in pieces."""

    def compress(self, data: bytes, /) -> bytes:
        """Take a piece; return what is ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


def _gzip() -> Coder:
    from isal import isal_zlib

    coder: Coder = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_FORMAT)
    return coder


def _zstd() -> Coder:
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL).compressobj()


_CODERS: Final[dict[str, Callable[[], Coder]]] = {"zstd": _zstd, "gzip": _gzip}  # best first


def compressed(app: "WSGIApplication") -> "WSGIApplication":
    """Return an app whose answers are compressed where the client takes that."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        accepted = environ.get("HTTP_ACCEPT_ENCODING")
        coding = chosen(accepted) if accepted else ""
        if not coding:
            return app(environ, start_response)
        return _answer(app, environ, start_response, coding)

    return answer


@lru_cache(64)
def chosen(accepted: str) -> str:
    """Return the coding for an Accept-Encoding header, "" for none.

    The one that is wanted most of those that are named; ``*`` names none.
    """
    wanted: dict[str, float] = {}
    for item in accepted.lower().split(","):
        name, *words = (word.strip() for word in item.split(";"))
        weight = next((word[2:] for word in words if word.startswith("q=")), "1")
        try:
            wanted[name] = float(weight)
        except ValueError:
            wanted[name] = 0.0
    return max(
        (name for name in _CODERS if wanted.get(name, 0.0) > wanted.get("identity", 0.0) * 0.999),
        key=lambda name: wanted[name],
        default="",
    )


def _answer(
    app: "WSGIApplication",
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
    coding: str,
) -> Iterable[bytes]:
    started: list[Any] = []

    def start(status: str, headers: Headers, exc_info: Any = None, /) -> Callable[[bytes], object]:
        started[:] = [status, headers, exc_info]
        return _no_write

    only_head = environ["REQUEST_METHOD"] == "HEAD"
    if only_head:  # its headers are those of a GET, the length included
        environ = {**environ, "REQUEST_METHOD": "GET"}
    body = app(environ, start)
    status, headers, exc_info = started
    fields = {name.lower(): value for name, value in headers}
    if status.startswith("304"):
        start_response(status, _varying(headers), exc_info)
        return body
    if not _worth_it(status, fields):
        start_response(status, headers, exc_info)
        return _closed(body) if only_head else body
    headers = [*_varying(headers), ("Content-Encoding", coding)]
    if "content-length" not in fields:
        start_response(status, headers, exc_info)
        return _closed(body) if only_head else _Pieces(body, _CODERS[coding]())
    try:
        coder = _CODERS[coding]()
        whole = b"".join([*map(coder.compress, body), coder.flush()])
    finally:
        _closed(body)
    start_response(status, [*headers, ("Content-Length", str(len(whole)))], exc_info)
    return [] if only_head else [whole]


def _worth_it(status: str, fields: dict[str, str]) -> bool:
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES or "content-encoding" in fields or status.startswith(("204", "206")):
        return False
    return int(fields.get("content-length", MIN_BYTES)) >= MIN_BYTES


def _varying(headers: Headers) -> Headers:
    """Return the headers of an answer that depends on Accept-Encoding.

    Its ETag becomes a weak one, as it now stands for each of its forms; parts of it cannot be had.
    """
    kept = []
    for name, value in headers:
        match name.lower():
            case "content-length" | "accept-ranges" | "vary":
                continue
            case "etag" if not value.startswith("W/"):
                kept.append((name, f"W/{value}"))
            case _:
                kept.append((name, value))
    vary = [value for name, value in headers if name.lower() == "vary"]
    return [*kept, ("Vary", ", ".join([*vary, "Accept-Encoding"]))]


class _Pieces:
    """A body of unknown length, compressed as it comes."""

    def __init__(self, body: Iterable[bytes], coder: Coder) -> None:
        self._body = body
        self._coder = coder

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            if ready := self._coder.compress(piece):
                yield ready
        yield self._coder.flush()

    def close(self) -> None:
        """End the body, as a server does."""
        _closed(self._body)


def _closed(body: Iterable[bytes]) -> list[bytes]:
    """End a body that is not sent."""
    close = getattr(body, "close", None)
    if close is not None:
        close()
    return []


def _no_write(data: bytes) -> None:
    """Refuse the way of writing that WSGI has for old frameworks.

    Raises:
        TypeError: Always.
    """
    raise TypeError("answers are iterables here")

"""A ``Queryable`` whose series are in another store: Prometheus's remote read for samples, its API for labels.

Answers are asked for as raw samples (``SAMPLES``), so that whatever runs on the embedded store
(rules, console, queries) runs on Prometheus, Thanos, Mimir or VictoriaMetrics unchanged.
"""

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import cramjam

from model.errors import StorageError, reason_of
from model.labels import LabelTable, Matcher, MatchOp
from storage.interface import Hints, Metadata, SeriesSet
from storage.remote.read_response import decode_response
from storage.remote.selector import selector_text
from storage.remote.wire import WireError, delimited, varint

_TYPES: Final = {MatchOp.EQUAL: 0, MatchOp.NOT_EQUAL: 1, MatchOp.REGEX: 2, MatchOp.NOT_REGEX: 3}
_FIRST_MS: Final = -62_135_596_800_000  # year 1
_LAST_MS: Final = 253_402_300_799_000  # year 9999: the API takes no later times
_JSON_BYTES: Final = 256 << 20


class RemoteQueryable:
    """See the module and ``storage.interface.Queryable``; from any thread.

    Args:
        url: Of remote read (``http://host:9090/api/v1/read``); the API is beside it.
        timeout_seconds: For each step of a request.
        authorization: Makes the Authorization header, anew for each request; "" for none.
        context: For https; the system's certificates if None.
        headers: Sent with each request.

    Raises:
        ValueError: If the URL is none of http or https.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float = 60.0,
        authorization: Callable[[], str] = str,
        context: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the URL of a remote read endpoint")
        self._host, self._port = parts.hostname, parts.port
        self._read_path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._api = parts.path.removesuffix("/read")
        self._timeout = timeout_seconds
        self._authorization = authorization
        self._context = context or (
            ssl.create_default_context() if parts.scheme == "https" else None
        )
        self._headers = dict(headers or {})
        self._connections = threading.local()

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        """See ``storage.interface.Queryable``.

        Raises:
            StorageError: If the far store cannot be asked, or refuses.
        """
        if hints.series_only:
            rows = self._ask("/series", _window(matchers, mint, maxt))
            return SeriesSet(LabelTable.from_labels(rows), ())
        query = b"\x08" + varint(max(mint, _FIRST_MS)) + b"\x10" + varint(min(maxt, _LAST_MS))
        for one in matchers:
            kind = b"\x08" + varint(_TYPES[one.op]) if _TYPES[one.op] else b""
            texts = delimited(0x12, one.name.encode()) + delimited(0x1A, one.value.encode())
            query += delimited(0x1A, kind + texts)
        body = bytes(cramjam.snappy.compress_raw(delimited(0x0A, query)))
        answer = self._request(
            "POST",
            self._read_path,
            body,
            {
                "Content-Encoding": "snappy",
                "Content-Type": "application/x-protobuf",
                "Accept-Encoding": "snappy",
                "X-Prometheus-Remote-Read-Version": "0.1.0",
            },
        )
        try:
            return decode_response(bytes(cramjam.snappy.decompress_raw(answer)))
        except (cramjam.DecompressionError, WireError, UnicodeDecodeError) as error:
            raise StorageError(f"the remote store's answer cannot be read: {error}") from error

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        """See ``storage.interface.Queryable``."""
        return sorted(self._ask("/labels", _window(matchers, mint, maxt)))

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        """See ``storage.interface.Queryable``."""
        path = f"/label/{quote(_escaped(name), safe='')}/values"
        return sorted(self._ask(path, _window(matchers, mint, maxt), get=True))

    def metadata(self, metric: str = "") -> Mapping[str, Metadata]:
        """See ``storage.interface.Queryable``."""
        form = [("metric", metric)] if metric else []
        found = self._ask("/metadata", form, get=True)
        return {
            name: Metadata(rows[0]["type"], rows[0]["help"], rows[0]["unit"])
            for name, rows in found.items()
            if rows
        }

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._connections, "one", None)
        if connection is not None:
            connection.close()
            self._connections.one = None

    def _ask(self, path: str, form: Sequence[tuple[str, str]], *, get: bool = False) -> Any:
        """Return what the API says."""
        sent = urlencode(form)
        if get:
            full = f"{self._api}{path}" + (f"?{sent}" if sent else "")
            raw = self._request("GET", full, b"", {})
        else:
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            raw = self._request("POST", self._api + path, sent.encode(), kind)
        try:
            return json.loads(raw)["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"the remote store's answer cannot be read: {error}") from error

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Send one request; once more on a new connection if a kept one turns out to be closed."""
        sent = {"User-Agent": "Taskscope", **self._headers, **headers}
        kept = getattr(self._connections, "one", None) is not None
        try:
            authorization = self._authorization()
            if authorization:
                sent["Authorization"] = authorization
            try:
                response = self._send(method, path, body, sent)
            except (ConnectionError, http.client.RemoteDisconnected):
                if not kept:
                    raise
                self.close()
                response = self._send(method, path, body, sent)
            said = response.read(_JSON_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise StorageError(f"no answer from the remote store: {reason_of(error)}") from error
        if not response.isclosed():
            self.close()
            raise StorageError("the remote store's answer is too large")
        if response.status != 200:
            text = said.decode("utf-8", "replace").strip()[:300]
            raise StorageError(f"the remote store answered {response.status}: {text}")
        return said

    def _send(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        connection = getattr(self._connections, "one", None)
        if connection is None:
            if self._context is not None:
                connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout, context=self._context
                )
            else:
                connection = http.client.HTTPConnection(
                    self._host, self._port, timeout=self._timeout
                )
            self._connections.one = connection
        connection.request(method, path, body or None, headers)
        response: http.client.HTTPResponse = connection.getresponse()
        return response


def _window(matchers: Sequence[Matcher], mint: int, maxt: int) -> list[tuple[str, str]]:
    """Return a range and a selector as the API takes them."""
    first, last = max(mint, _FIRST_MS), min(maxt, _LAST_MS)
    form = [("start", f"{first / 1000:.3f}"), ("end", f"{last / 1000:.3f}")]
    asked = list(matchers) or [Matcher("__name__", MatchOp.REGEX, ".+")]
    return [*form, ("match[]", selector_text(asked))]


def _escaped(name: str) -> str:
    """Write a label name that is not a plain one as the API's paths do (U__, model.EscapeName)."""
    plain = all(c.isascii() and (c.isalnum() or c == "_") for c in name)
    if plain and not name[:1].isdigit():
        return name
    out = []
    for place, char in enumerate(name):
        if char == "_":
            out.append("__")
        elif char.isascii() and (char.isalpha() or (char.isdigit() and place)):
            out.append(char)
        else:
            out.append(f"_{ord(char):x}_")
    return "U__" + "".join(out)

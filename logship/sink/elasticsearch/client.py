"""The official client, made late and lean.

Importing ``elasticsearch`` imports pyarrow and pandas where they are installed, which would cost
the agent 60 MB for nothing, and requests and OpenTelemetry, of which it would use neither here; they
are hidden from this one import, in this one thread.
"""

import re
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from model.errors import DeliveryError

if TYPE_CHECKING:
    from elastic_transport import Serializer
    from elasticsearch import Elasticsearch

_HIDDEN = {"pyarrow", "pandas", "requests", "opentelemetry"}
_BULK_HEAD = 128
JSON = "application/vnd.elasticsearch+json; compatible-with=8"
LINES = "application/vnd.elasticsearch+x-ndjson; compatible-with=8"
# by these nothing of a request was taken; every other failure leaves that open
_NOT_TAKEN = frozenset({400, 401, 403, 404, 405, 406, 408, 413, 415, 429})


class Connection(Struct, frozen=True):
    """How to reach Elasticsearch. Secrets are read from their files at each connect, never kept in a repr."""

    endpoints: tuple[str, ...]
    username: str = ""
    password_file: str = ""
    api_key_file: str = ""
    ca_file: str = ""
    compress: bool = False


class _Hide(MetaPathFinder):
    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _HIDDEN and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(fullname, name=fullname)
        return None


def connect(connection: Connection, timeout_seconds: float) -> "Elasticsearch":
    """Make a client; nothing is sent yet.

    Raises:
        DeliveryError: If a file with a secret cannot be read; not retryable at once.
    """
    finder = _Hide()
    sys.meta_path.insert(0, finder)
    try:
        import elasticsearch
    finally:
        sys.meta_path.remove(finder)
    options: dict[str, Any] = {}
    if connection.api_key_file:
        options["api_key"] = _text_of(connection.api_key_file)
    elif connection.username:
        options["basic_auth"] = (connection.username, _text_of(connection.password_file))
    if connection.ca_file:
        _text_of(connection.ca_file)  # the client itself would not say which file it misses
        options["ca_certs"] = connection.ca_file
    try:
        return elasticsearch.Elasticsearch(
            list(dict.fromkeys(connection.endpoints)),
            request_timeout=timeout_seconds,
            max_retries=0,  # retrying is the lane's business, with its own back-off
            http_compress=connection.compress,
            serializers=_serializers(),
            **options,
        )
    except (OSError, ValueError) as error:
        raise DeliveryError(f"Elasticsearch cannot be set up: {error}", retryable=False) from error


def ask(
    client: "Elasticsearch",
    method: str,
    path: str,
    body: Any = None,
    *,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Send one request and return the answer's body; a node that cannot be reached is passed over for the next.

    Raises:
        Exception: What the client raises; ``explain`` turns it into a sentence.
    """  # fmt: skip
    nodes = len(client.transport.node_pool)
    while True:
        try:
            return client.perform_request(
                method, path, params=params, body=body, headers={"content-type": JSON, "accept": JSON, **(headers or {})}
            ).body  # fmt: skip
        except Exception as error:
            nodes -= 1
            if nodes < 1 or not never_sent(error):
                raise


def ask_if_known(
    client: "Elasticsearch", method: str, path: str, body: Any = None
) -> dict[str, Any]:
    """Return the answer to something that not every server knows and not every login may ask; nothing then."""
    from elasticsearch import ApiError

    try:
        answer = ask(client, method, path, body)
    except ApiError:
        return {}
    return dict(answer) if isinstance(answer, Mapping) else {}


def never_sent(error: BaseException) -> bool:
    """Tell whether a request surely never left, because there was no connection."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return isinstance(error.__cause__, NewConnectionError | ConnectTimeoutError)


def is_open(error: BaseException) -> bool:
    """Tell whether a request that failed may have been carried out all the same."""
    return getattr(error, "status_code", 0) not in _NOT_TAKEN and not never_sent(error)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise DeliveryError(f"{path} cannot be read: {reason}", retryable=False) from error  # fmt: skip


def _serializers() -> dict[str, "Serializer"]:
    """JSON by orjson, bulk bodies as the bytes they are.

    A bulk answer without errors is not taken apart: it says so in its first bytes.
    """
    from elastic_transport import SerializationError, Serializer

    class Json(Serializer):
        mimetype = "application/vnd.elasticsearch+json"

        def dumps(self, data: Any) -> bytes:
            return data if isinstance(data, bytes) else orjson.dumps(data)

        def loads(self, data: bytes) -> Any:
            if b'"errors":false' in data[:_BULK_HEAD]:
                return {"errors": False, "items": [], "raw": data}
            try:
                return orjson.loads(data)
            except orjson.JSONDecodeError as error:
                raise SerializationError(f"not JSON: {data[:200]!r}", errors=(error,)) from error

    class Lines(Json):
        mimetype = "application/vnd.elasticsearch+x-ndjson"

    class PlainJson(Json):  # what proxies and stand-ins answer with
        mimetype = "application/json"

    return {kind.mimetype: kind() for kind in (Json, Lines, PlainJson)}


def explain(error: Exception, connection: Connection) -> DeliveryError:
    """Turn what the client raised into one clear sentence."""
    import elasticsearch

    where = ", ".join(connection.endpoints)
    if isinstance(error, elasticsearch.AuthenticationException):
        if not connection.username and not connection.api_key_file:
            return DeliveryError(
                f"Elasticsearch at {where} wants a login: set username and password_file, or api_key_file",
                retryable=False,
            )
        who = f"user {connection.username}" if connection.username else "the API key"
        return DeliveryError(
            f"Elasticsearch at {where} refuses {who}: check "
            f"{connection.api_key_file or connection.password_file}",
            retryable=False,
        )
    if isinstance(error, elasticsearch.UnsupportedProductError):
        return DeliveryError(f"what answers at {where} is no Elasticsearch: {_reason(error.body)}", retryable=False)  # fmt: skip
    if isinstance(error, elasticsearch.ApiError):
        retry = error.status_code in {403, 408, 429} or error.status_code >= 500
        return DeliveryError(
            f"Elasticsearch at {where} answers {error.status_code}: {_reason(error.body)}",
            retryable=retry,
            retry_after_seconds=_retry_after(error.meta.headers),
        )
    if isinstance(error, elasticsearch.ConnectionTimeout):
        return DeliveryError(f"Elasticsearch at {where} does not answer in time", retryable=True)
    if isinstance(error, elasticsearch.ConnectionError):
        return DeliveryError(f"Elasticsearch at {where} cannot be reached: {_cause(error.message)}", retryable=True)  # fmt: skip
    return DeliveryError(f"Elasticsearch at {where}: {error}", retryable=True)


def _cause(message: str) -> str:
    """Leave out the client's own objects: ``HTTPConnection(...): ... [Errno 111] Connection refused``."""
    found = re.search(r"\[Errno -?\d+\] ([^)]+)", message)
    return found[1] if found else message


def _reason(body: Any) -> str:
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        return str(body["error"].get("reason") or body["error"].get("type") or "")[:300]
    return " ".join(str(body).split())[:150]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return min(float(value), 300.0) if value.isdigit() else None

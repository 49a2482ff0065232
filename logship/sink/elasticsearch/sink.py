"""Delivers to Elasticsearch, once per record however often it is sent."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from msgspec import Struct
from msgspec.structs import replace

from logship import ecs
from logship.sink.base import Sink
from logship.sink.elasticsearch import template
from logship.sink.elasticsearch.client import Connection, connect, explain
from model.errors import DeliveryError
from model.log import Delivery, LogBatch
from storage.failpoint import reach

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

HTTP_TOO_LARGE = 413
DEFAULT_DATASET = "task"
TEMPLATE_NAME = "taskscope-logs"


class _Part(Struct, frozen=True):
    """What a batch adds to a request: the ``_bulk`` lines of so many records."""

    body: bytes
    size: int

    def parted(self, at: int) -> tuple["_Part", "_Part"]:
        """Return the first ``at`` records and the others."""
        records = ecs.records(self.body)
        return _Part(b"".join(records[:at]), at), _Part(b"".join(records[at:]), self.size - at)


class ElasticsearchSink:
    """Bulk ``create`` into data streams ``logs-<dataset>-<namespace>``; see ``Sink``.

    Records of no dataset of their own ("task") go to the sink's. The template is installed before the first delivery, and again after an outage, in case
    somebody emptied the cluster. A record whose own fields Elasticsearch cannot take is sent once
    more with the fields as text at the end of the message; only then it is a dead letter.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        dataset: str = DEFAULT_DATASET,
        namespace: str = "default",
        template_name: str = TEMPLATE_NAME,
        name: str = "elasticsearch",
    ) -> None:
        self.name = name
        self._connection = connection
        self._dataset = dataset
        self._namespace = namespace
        self._template_name = template_name
        self._client: Elasticsearch | None = None
        self._datasets: set[str] = set()
        self._lock = threading.Lock()

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """See ``Sink.write``."""
        if self._dataset != DEFAULT_DATASET:
            batches = [replace(b, dataset=self._dataset) if b.dataset == DEFAULT_DATASET else b for b in batches]  # fmt: skip
        try:
            client = self._ready({batch.dataset for batch in batches}, timeout_seconds)
            indices = {self.index(batch.dataset) for batch in batches}
            common = indices.pop() if len(indices) == 1 else ""
            parts = [
                _Part(ecs.bulk(batch, "" if common else self.index(batch.dataset)), len(batch))
                for batch in batches
            ]
            deliveries = self._send(client, parts, common)
            self._as_text(client, batches, deliveries)
            return deliveries
        except DeliveryError:
            self._forget()
            raise
        except Exception as error:
            self._forget()
            raise explain(error, self._connection) from error

    def index(self, dataset: str) -> str:
        """Return the data stream of a dataset."""
        return f"logs-{dataset}-{self._namespace}"

    def check(self, timeout_seconds: float) -> None:
        """See ``Sink.check``."""
        try:
            self._ready(set(), timeout_seconds).info()
        except DeliveryError:
            self._forget()
            raise
        except Exception as error:
            self._forget()
            raise explain(error, self._connection) from error

    def close(self) -> None:
        """See ``Sink.close``."""
        self._forget()

    def _forget(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            self._datasets.clear()
        if client is not None:
            client.close()

    def _ready(self, datasets: set[str], timeout_seconds: float) -> "Elasticsearch":
        with self._lock:
            client = self._client
            if client is None:
                client = self._client = connect(self._connection, timeout_seconds)
            missing = datasets - self._datasets
        if missing:
            component = f"{self._template_name}@mappings"
            client.perform_request("PUT", f"/_component_template/{component}", headers=_HEADERS, body=template.component(component))  # fmt: skip
            for dataset in sorted(missing):
                body = template.index_template(component, [f"logs-{dataset}-*"])
                client.perform_request("PUT", f"/_index_template/{self._template_name}-{dataset}", headers=_HEADERS, body=body)  # fmt: skip
            with self._lock:
                self._datasets |= missing
        return client

    def _send(self, client: "Elasticsearch", parts: Sequence[_Part], index: str) -> list[Delivery]:  # fmt: skip
        """Send a request; one that is too large for the server is sent in halves."""
        from elasticsearch import ApiError

        try:
            return self._bulk(client, parts, index)
        except ApiError as error:
            if error.status_code != HTTP_TOO_LARGE:
                raise
        if len(parts) > 1:
            half = len(parts) // 2
            return [*self._send(client, parts[:half], index), *self._send(client, parts[half:], index)]  # fmt: skip
        (part,) = parts
        if part.size == 1:
            why = f"a request of {len(part.body)} bytes is too large for the server"
            return [Delivery(np.full(1, 400, dtype=np.int16), {0: why})]
        half = part.size // 2
        (first,), (second,) = (self._send(client, [piece], index) for piece in part.parted(half))
        reasons = first.reasons | {half + row: why for row, why in second.reasons.items()}
        return [Delivery(np.concatenate([first.status, second.status]), reasons)]

    def _bulk(self, client: "Elasticsearch", parts: Sequence[_Part], index: str) -> list[Delivery]:  # fmt: skip
        reach("bulk.before_send")
        answer: Any = client.bulk(
            operations=b"".join([part.body for part in parts]),  # type: ignore[arg-type]  # our serializer takes bytes
            index=index or None,
            filter_path="errors,items.*.status,items.*.error",
        ).body
        reach("bulk.answered")
        sizes = [part.size for part in parts]
        if not answer.get("errors"):
            return [Delivery(np.full(size, 201, dtype=np.int16)) for size in sizes]
        return _statuses(answer.get("items", []), sizes)

    def _as_text(self, client: "Elasticsearch", batches: Sequence[LogBatch], deliveries: list[Delivery]) -> None:  # fmt: skip
        """Send records that were refused for their shape once more, without fields of their own."""
        for n, (batch, delivery) in enumerate(zip(batches, deliveries, strict=True)):
            rows = np.flatnonzero(delivery.status == 400)
            if not len(rows):
                continue
            refused = batch.take(rows)
            body = b"".join(map(_text_only, ecs.records(ecs.bulk(refused, ""))))
            (again,) = self._send(client, [_Part(body, len(rows))], self.index(batch.dataset))
            status = delivery.status.copy()
            status[rows] = again.status
            reasons = {
                row: why for row, why in delivery.reasons.items() if status[row] not in (201, 409)
            }
            reasons |= {int(rows[i]): why for i, why in again.reasons.items()}
            deliveries[n] = Delivery(status, reasons)


_HEADERS = {
    "content-type": "application/vnd.elasticsearch+json; compatible-with=8",
    "accept": "application/vnd.elasticsearch+json; compatible-with=8",
}


def _text_only(lines: bytes) -> bytes:
    """Move a record's own fields to the end of its message."""
    action, document = lines.split(b"\n", 1)
    try:
        data = orjson.loads(document)
    except orjson.JSONDecodeError:  # nested too deep for us, too
        return lines
    fields = data.pop("fields", None)
    if fields is not None:
        data["message"] = f"{data.get('message', '')} {orjson.dumps(fields).decode()}"
    return action + b"\n" + orjson.dumps(data) + b"\n"


def _statuses(items: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> list[Delivery]:
    """Read each item's status; what the answer does not mention is sent again."""
    deliveries = []
    at = 0
    for size in sizes:
        status = np.full(size, 503, dtype=np.int16)
        reasons: dict[int, str] = {}
        for row, item in enumerate(items[at : at + size]):
            outcome = next(iter(item.values()))
            code = int(outcome.get("status", 503))
            status[row] = code if code in (201, 403, 409, 429) or code >= 500 else 201 if code < 300 else 400  # fmt: skip
            if status[row] not in (201, 409):
                reasons[row] = _why(outcome.get("error"))
        at += size
        deliveries.append(Delivery(status, reasons))
    return deliveries


def _why(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    cause = error.get("caused_by")
    reason = f"{error.get('type')}: {error.get('reason')}"
    return f"{reason} ({_why(cause)})" if cause else reason


if TYPE_CHECKING:
    _: type[Sink] = ElasticsearchSink

"""Delivers to Elasticsearch, once per record however often it is sent."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from logship import ecs
from logship.sink.base import Sink
from logship.sink.elasticsearch import template
from logship.sink.elasticsearch.client import Connection, connect, explain
from model.errors import DeliveryError
from model.log import Delivery, LogBatch

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

TEMPLATE_NAME = "taskscope-logs"


class ElasticsearchSink:
    """Bulk ``create`` into data streams ``logs-<dataset>-<namespace>``; see ``Sink``.

    The template is installed before the first delivery, and again after an outage, in case
    somebody emptied the cluster. A record whose own fields Elasticsearch cannot take is sent once
    more with the fields as text at the end of the message; only then it is a dead letter.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        namespace: str = "default",
        template_name: str = TEMPLATE_NAME,
        name: str = "elasticsearch",
    ) -> None:
        self.name = name
        self._connection = connection
        self._namespace = namespace
        self._template_name = template_name
        self._client: Elasticsearch | None = None
        self._datasets: set[str] = set()
        self._lock = threading.Lock()

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """See ``Sink.write``."""
        try:
            client = self._ready({batch.dataset for batch in batches}, timeout_seconds)
            documents = [ecs.documents(batch) for batch in batches]
            deliveries = self._bulk(client, batches, documents)
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

    def _bulk(self, client: "Elasticsearch", batches: Sequence[LogBatch], documents: Sequence[Sequence[bytes]]) -> list[Delivery]:  # fmt: skip
        parts: list[bytes] = []
        for batch, docs in zip(batches, documents, strict=True):
            lines = [b""] * (2 * len(docs))
            lines[0::2] = ecs.actions(batch, self.index(batch.dataset))
            lines[1::2] = docs
            parts += lines
        parts.append(b"")
        answer: Any = client.bulk(
            operations=b"\n".join(parts),  # type: ignore[arg-type]  # our serializer takes bytes
            filter_path="errors,items.*.status,items.*.error",
        ).body
        sizes = [len(docs) for docs in documents]
        if not answer.get("errors"):
            return [Delivery(np.full(size, 201, dtype=np.int16)) for size in sizes]
        return _statuses(answer.get("items", []), sizes)

    def _as_text(self, client: "Elasticsearch", batches: Sequence[LogBatch], deliveries: list[Delivery]) -> None:  # fmt: skip
        """Send records that were refused for their shape once more, without fields of their own."""
        for n, (batch, delivery) in enumerate(zip(batches, deliveries, strict=True)):
            rows = np.flatnonzero(delivery.status == 400)
            if not len(rows):
                continue
            from logship.batches import take

            refused = take(batch, rows)
            again = self._bulk(client, [refused], [list(map(_text_only, ecs.documents(refused)))])[
                0
            ]
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


def _text_only(document: bytes) -> bytes:
    data = orjson.loads(document)
    fields = data.pop("fields", None)
    if fields is not None:
        data["message"] = f"{data.get('message', '')} {orjson.dumps(fields).decode()}"
    return orjson.dumps(data)


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

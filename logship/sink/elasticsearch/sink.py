"""Delivers to Elasticsearch, once per record however often it is sent."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec.structs import replace

from logship import ecs
from logship.sink.base import ConcurrentSink
from logship.sink.elasticsearch.bulk import NEVER, STORED, THERE, Outcome, Part, Request, part_of
from logship.sink.elasticsearch.client import Connection, connect, explain, is_open
from logship.sink.elasticsearch.doubt import WINDOW_BYTES, Doubts
from logship.sink.elasticsearch.install import Installer
from logship.sink.elasticsearch.once import Checked, Mark
from logship.sink.elasticsearch.repair import repaired
from logship.sink.elasticsearch.retention import Keeper, Retention
from logship.sink.elasticsearch.server import REQUIRE_DATA_STREAM, Server
from model.errors import DeliveryError
from model.log import Delivery, LogBatch

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

DEFAULT_DATASET: Final = "task"
TEMPLATE_NAME: Final = "taskscope-logs"
_log = logging.getLogger(__name__)


class ElasticsearchSink:
    """Bulk ``create`` into data streams ``logs-<dataset>-<namespace>``; see ``ConcurrentSink``.

    The templates are installed before the first delivery, and again after an outage, in case
    somebody emptied the cluster. A record whose shape Elasticsearch refuses is sent once more,
    repaired; only then it is a dead letter.

    Args:
        connection: How to reach it.
        dataset: Where records of no dataset of their own ("task") go.
        namespace: Last part of the data streams' names.
        template_name: Of what is installed.
        name: See ``Sink``.
        retention: How long records are kept.
        fields: Type by name of fields that the operator declared.
        install_templates: False where somebody else does.
        parallel: Most requests at once.
        window_bytes: See ``Doubts``.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        dataset: str = DEFAULT_DATASET,
        namespace: str = "default",
        template_name: str = TEMPLATE_NAME,
        name: str = "elasticsearch",
        retention: Retention | None = None,
        fields: Mapping[str, str] | None = None,
        install_templates: bool = True,
        parallel: int = 4,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.name = name
        self.parallel = parallel
        self._connection = connection
        self._dataset = dataset
        self._namespace = namespace
        self._retention = retention or Retention()
        self._installs = install_templates
        self._installer = Installer(template_name, self._retention, fields or {})
        self._keeper = Keeper(self._retention)
        self._client: Elasticsearch | None = None
        self._server: Server | None = None
        self._datasets: set[str] = set()
        self._written: set[str] = set()
        self._mark = Mark()
        self._doubts = Doubts(window_bytes)
        self._checked = Checked(self._mark)
        self._ahead: dict[int, tuple[LogBatch, Part]] = {}  # by id, which the batch keeps its own
        self._lock = threading.Lock()
        self._setting_up = threading.Lock()

    def ahead(self, batch: LogBatch) -> None:
        """See ``ConcurrentSink.ahead``."""
        if len(batch):
            self._ahead[id(batch)] = batch, part_of(self._named(batch), "")

    def resumed(self, source_ids: Iterable[str]) -> None:
        """See ``ConcurrentSink.resumed``."""
        self._doubts.resumed(source_ids)

    @property
    def found(self) -> int:
        """How many records in doubt were found in an earlier index, so that they were not stored twice."""
        return self._checked.found

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """See ``Sink.write``; several threads may."""
        ahead = [self._ahead.pop(id(batch), (batch, None))[1] for batch in batches]
        batches = [self._named(batch) for batch in batches]
        streams = [self.index(batch.dataset) for batch in batches]
        request: Request | None = None
        try:
            client = self._ready({batch.dataset for batch in batches}, timeout_seconds)
            request = Request(client, "", self._params(), self._mark.headers)
            deliveries = self._write(request, batches, streams, ahead)
        except Exception as error:
            if request is not None and (request.answered or is_open(error)):
                self._mark.lost(request.headers)
                for batch in batches:
                    self._doubts.add(batch)
            self._forget(client=request.client if request is not None else None)
            if isinstance(error, DeliveryError):
                raise
            raise explain(error, self._connection) from error
        self._written.update(streams)
        self._keep(client)
        return deliveries

    def _named(self, batch: LogBatch) -> LogBatch:
        """Return a batch under the dataset that is configured."""
        other = self._dataset != DEFAULT_DATASET and batch.dataset == DEFAULT_DATASET
        return replace(batch, dataset=self._dataset) if other else batch

    def index(self, dataset: str) -> str:
        """Return the data stream of a dataset."""
        return f"logs-{dataset}-{self._namespace}"

    def check(self, timeout_seconds: float) -> None:
        """See ``Sink.check``."""
        client = None
        try:
            client = self._ready(set(), timeout_seconds)
            client.info()
        except Exception as error:
            self._forget(client)
            if isinstance(error, DeliveryError):
                raise
            raise explain(error, self._connection) from error
        self._keep(client)

    def close(self) -> None:
        """See ``Sink.close``."""
        self._forget(self._client)

    def _forget(self, client: "Elasticsearch | None") -> None:
        """Begin anew with the next request: with the secrets of then, and templates looked after."""
        with self._lock:
            if client is not None and client is not self._client:
                return  # another thread has begun anew already
            client, self._client = self._client, None
            self._datasets.clear()
        if client is not None:
            client.close()

    def _ready(self, datasets: set[str], timeout_seconds: float) -> "Elasticsearch":
        with self._setting_up:
            with self._lock:
                client = self._client
                if client is None:
                    client = self._client = connect(self._connection, timeout_seconds)
                missing = datasets - self._datasets
            if missing:
                if self._installs:
                    self._server = self._installer.install(client, sorted(missing))
                with self._lock:
                    self._datasets |= missing
        return client

    def _params(self) -> dict[str, str]:
        """A name without a template shall not become a plain index, which nobody rolls over."""
        new = self._server is not None and self._server.since(REQUIRE_DATA_STREAM)
        return {"require_data_stream": "true"} if new else {}

    def _write(self, request: Request, batches: Sequence[LogBatch], streams: Sequence[str], ahead: list[Part | None]) -> list[Delivery]:  # fmt: skip
        doubtful = [n for n, batch in enumerate(batches) if self._doubts.about(batch)]
        certain = [n for n in range(len(batches)) if n not in doubtful] if doubtful else range(len(batches))  # fmt: skip
        outcomes: dict[int, Outcome] = {}
        if doubtful:
            found = self._checked.send(request, [batches[n] for n in doubtful], [streams[n] for n in doubtful])  # fmt: skip
            outcomes.update(zip(doubtful, found, strict=True))
        if certain:
            indices = {streams[n] for n in certain}
            request.index = indices.pop() if len(indices) == 1 else ""
            parts = [
                (ahead[n] if request.index else None)
                or part_of(batches[n], "" if request.index else streams[n])
                for n in certain
            ]
            ahead.clear()
            outcomes.update(zip(certain, request.send(parts), strict=True))
        deliveries = [outcomes[n].delivery for n in range(len(batches))]
        for n, (batch, stream) in enumerate(zip(batches, streams, strict=True)):
            if (deliveries[n].status == NEVER).any():
                deliveries[n] = self._again_repaired(request, batch, stream, deliveries[n])
            self._doubts.settle(batch, deliveries[n].status)
            if (failed := np.flatnonzero(deliveries[n].status >= 500)).size:
                self._doubts.add(batch.take(failed))
                if deliveries[n].reasons.get(int(failed[0]), "").startswith("index_not_found"):
                    with self._lock:  # the templates are gone
                        self._datasets.discard(batch.dataset)
        return deliveries

    def _again_repaired(self, request: Request, batch: LogBatch, stream: str, delivery: Delivery) -> Delivery:  # fmt: skip
        """Send the records of a batch that were refused for their shape once more."""
        rows = np.flatnonzero(delivery.status == NEVER)
        records = ecs.records(ecs.bulk(batch.take(rows), ""))
        body = b"".join([repaired(lines, delivery.reasons.get(int(row), "")) for lines, row in zip(records, rows, strict=True)])  # fmt: skip
        request.index = stream
        (again,) = request.send([Part(body, len(rows))])
        status = delivery.status.copy()
        status[rows] = again.delivery.status
        reasons = {row: why for row, why in delivery.reasons.items() if status[row] not in (STORED, THERE)}  # fmt: skip
        for n, why in again.delivery.reasons.items():
            row = int(rows[n])
            reasons[row] = f"{reasons.get(row, '')}; and repaired: {why}"
        return Delivery(status, reasons)

    def _keep(self, client: "Elasticsearch") -> None:
        """Roll over and delete where the server does not; a failure is no matter of the records."""
        server = self._server
        if server is None or server.lifecycle != "none" or not self._keeper.due:
            return
        try:
            for index in self._keeper.keep(client, sorted(self._written)):
                _log.info("Elasticsearch: %s is older than the retention and was deleted", index)
        except Exception as error:
            _log.warning("Elasticsearch: old data cannot be rolled over and deleted: %s", explain(error, self._connection))  # fmt: skip


if TYPE_CHECKING:
    _: type[ConcurrentSink] = ElasticsearchSink

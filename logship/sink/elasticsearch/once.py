"""Sends records in doubt so that each is stored once, whatever became of them before and of the data stream since."""

import logging
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from logship import ecs
from logship.sink.elasticsearch.bulk import THERE, Outcome, Request, part_of
from logship.sink.elasticsearch.client import LINES, ask
from model.errors import DeliveryError
from model.log import Delivery, LogBatch
from storage.failpoint import reach

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_log = logging.getLogger(__name__)
IDS_AT_ONCE: Final = 5000  # a search gives 10,000 hits, and an id may be in two indices
PATIENCE_SECONDS: Final = 2.0
LISTED_SECONDS: Final = 5.0
_HEADER: Final = "X-Opaque-Id"


class Mark:
    """Names our requests towards the server, so that it can be asked whether it still works on one.

    The name stays the same until a request fails: the server's logs are grouped by it.
    """

    def __init__(self) -> None:
        self._name = f"taskscope-{secrets.token_hex(4)}"
        self._number = 0
        self._lost: set[str] = set()
        self._lock = threading.Lock()

    @property
    def headers(self) -> Mapping[str, str]:
        """The header of the next request."""
        return {_HEADER: f"{self._name}-{self._number}"}

    def lost(self, headers: Mapping[str, str]) -> None:
        """Take note that a request's answer will not come."""
        with self._lock:
            self._lost.add(headers[_HEADER])
            self._number += 1

    def wait(self, client: "Elasticsearch") -> None:
        """Wait until the server has done with the requests whose answers were lost.

        Raises:
            DeliveryError: If that takes long; retryable.
        """
        from elasticsearch import ApiError

        end = time.monotonic() + PATIENCE_SECONDS
        with self._lock:
            lost = set(self._lost)
        while lost:
            try:
                tasks = ask(client, "GET", "/_tasks", params={"actions": "indices:data/write/bulk*", "group_by": "none", "filter_path": "tasks.headers"})  # fmt: skip
            except ApiError:  # this login may not ask
                break
            running = {task.get("headers", {}).get(_HEADER) for task in tasks.get("tasks", [])}
            if not lost & running:
                break
            if time.monotonic() > end:
                raise DeliveryError("Elasticsearch still works on an earlier request", retryable=True)  # fmt: skip
            time.sleep(0.05)
        with self._lock:
            self._lost -= lost


class Checked:
    """Looks up what may be there, and sends what is not."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._blind = False
        self._listed: dict[str, tuple[float, list[str]]] = {}
        self.found = (
            0  # records that were there, in another backing index than the next would go to
        )

    def send(self, request: Request, batches: Sequence[LogBatch], streams: Sequence[str]) -> list[Outcome]:  # fmt: skip
        """Send batches, all of them in doubt, each to its data stream."""
        client = request.client
        self._mark.wait(client)
        outcomes: dict[int, Outcome] = {}
        for stream in dict.fromkeys(streams):
            numbers = [n for n, own in enumerate(streams) if own == stream]
            own = [batches[n] for n in numbers]
            request.index = stream
            outcomes.update(zip(numbers, self._send(request, own, stream), strict=True))
        return [outcomes[n] for n in range(len(batches))]

    def _send(self, request: Request, batches: Sequence[LogBatch], stream: str) -> list[Outcome]:
        backing = self._backing(request.client, stream)
        request.expected = backing[-1] if backing else ""
        try:
            if len(backing) > 1:
                outcomes = self._send_missing(request, batches, stream)
            else:  # where there is one index, that one refuses what it has
                reach("bulk.looked_up")
                outcomes = request.send([part_of(batch, "") for batch in batches])
        finally:
            request.expected = ""
        self._drop_twins(request.client, stream, batches, outcomes)
        return outcomes

    def _send_missing(self, request: Request, batches: Sequence[LogBatch], stream: str) -> list[Outcome]:  # fmt: skip
        """Look all records up in all backing indices, and send those that are in none."""
        ids = [_ids(batch) for batch in batches]
        known = self._where(request.client, stream, (i for own in ids for i in own))
        reach("bulk.looked_up")
        missing = [np.flatnonzero([i not in known for i in own]) for own in ids]
        parts = [part_of(batch.take(rows), "") for batch, rows in zip(batches, missing, strict=True) if len(rows)]  # fmt: skip
        sent = iter(request.send(parts) if parts else ())
        outcomes = []
        for batch, rows in zip(batches, missing, strict=True):
            if len(rows) == len(batch):
                outcomes.append(next(sent))
                continue
            self.found += len(batch) - len(rows)
            status = np.full(len(batch), THERE, dtype=np.int16)
            outcome = next(sent) if len(rows) else Outcome(Delivery(status[:0]))
            status[rows] = outcome.delivery.status
            reasons = {int(rows[n]): why for n, why in outcome.delivery.reasons.items()}
            landed = {int(rows[n]): where for n, where in outcome.landed.items()}
            outcomes.append(Outcome(Delivery(status, reasons), landed))
        return outcomes

    def _drop_twins(self, client: "Elasticsearch", stream: str, batches: Sequence[LogBatch], outcomes: Sequence[Outcome]) -> None:  # fmt: skip
        """Remove what was created in an index made since the look-up, if it was in another one all along."""
        if not any(outcome.landed for outcome in outcomes):
            return
        self._listed.clear()
        ids = [_ids(batch) for batch in batches]
        landed = {own[row]: where for own, o in zip(ids, outcomes, strict=True) for row, where in o.landed.items()}  # fmt: skip
        places = self._where(client, stream, landed)
        twins = [i for i, where in landed.items() if set(places.get(i, ())) - {where}]
        if not twins:
            return
        lines = b"".join([b'{"delete":{"_index":"%b","_id":"%b"}}\n' % (landed[i].encode(), i.encode()) for i in twins])  # fmt: skip
        reach("bulk.twins_found")
        ask(client, "POST", "/_bulk", lines, headers={"content-type": LINES})
        self.found += len(twins)
        gone = set(twins)
        for own, outcome in zip(ids, outcomes, strict=True):
            rows = [row for row in outcome.landed if own[row] in gone]
            outcome.delivery.status[rows] = THERE

    def _backing(self, client: "Elasticsearch", stream: str) -> list[str]:
        """Return the backing indices of a data stream, the one that is written to last.

        The list may be some seconds old: what is created in another index than its last is noticed.
        """
        from elasticsearch import ApiError

        listed, backing = self._listed.get(stream, (0.0, []))
        if backing and time.monotonic() - listed < LISTED_SECONDS:
            return backing
        try:
            found = ask(client, "GET", f"/_data_stream/{stream}")
        except ApiError as error:
            if error.status_code == 403:
                self._cannot(f"may not look at the data stream {stream}")
            elif error.status_code != 404:
                raise
            return []
        backing = [index["index_name"] for one in found.get("data_streams", [])[:1] for index in one["indices"]]  # fmt: skip
        self._listed[stream] = (time.monotonic(), backing)
        return backing

    def _where(self, client: "Elasticsearch", stream: str, ids: Iterable[str]) -> dict[str, list[str]]:  # fmt: skip
        """Return the backing indices that hold each id, for those that are held."""
        from elasticsearch import ApiError

        wanted = list(ids)
        places: dict[str, list[str]] = {}
        try:
            ask(client, "POST", f"/{stream}/_refresh")
            for at in range(0, len(wanted), IDS_AT_ONCE):
                body = {"size": 2 * IDS_AT_ONCE, "_source": False, "query": {"ids": {"values": wanted[at : at + IDS_AT_ONCE]}}}  # fmt: skip
                answer: Any = ask(client, "POST", f"/{stream}/_search", body, params={"filter_path": "_shards.failed,timed_out,hits.hits._id,hits.hits._index"})  # fmt: skip
                if answer.get("_shards", {}).get("failed") or answer.get("timed_out"):
                    raise DeliveryError(f"{stream} cannot be searched whole for what may be there already", retryable=True)  # fmt: skip
                for hit in answer.get("hits", {}).get("hits", ()):
                    places.setdefault(hit["_id"], []).append(hit["_index"])
        except ApiError as error:
            if error.status_code != 403:
                raise
            self._cannot(f"may not refresh and read {stream}")
        return places

    def _cannot(self, what: str) -> None:
        if not self._blind:
            self._blind = True
            _log.warning("the login of Elasticsearch %s: a line may be stored twice where a data stream rolls over while a request fails", what)  # fmt: skip


def _ids(batch: LogBatch) -> list[str]:
    key = ecs.source_key(batch.source_id)
    return [f"{key}-{offset:x}" for offset in batch.offsets.tolist()]

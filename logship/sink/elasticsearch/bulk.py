"""One ``_bulk`` request: what goes out, and the status of each item that comes back, read by ourselves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
from msgspec import Struct, field

from logship import ecs
from logship.sink.elasticsearch.client import LINES, ask
from model.log import Delivery, LogBatch
from storage.failpoint import reach

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

HTTP_TOO_LARGE: Final = 413
STORED, THERE, NEVER, LATER = 201, 409, 400, 503
# 400s and 404s that are about the index or the cluster, not about the document: they pass
_NOT_THE_DOCUMENT: Final = frozenset({
    "index_closed_exception", "index_not_found_exception", "validation_exception", "cluster_block_exception",
    "invalid_index_template_exception", "resource_already_exists_exception", "es_rejected_execution_exception",
    "circuit_breaking_exception", "unavailable_shards_exception", "no_shard_available_action_exception",
    "process_cluster_event_timeout_exception", "index_template_missing_exception", "security_exception",
})  # fmt: skip


class Part(Struct, frozen=True):
    """What a batch adds to a request: the ``_bulk`` lines of so many records."""

    body: bytes
    size: int


class Outcome(Struct):
    """What became of the records of one part.

    Attributes:
        delivery: Their statuses.
        landed: Where asked for: backing index by row of records that were created elsewhere than expected.
    """

    delivery: Delivery
    landed: dict[int, str] = field(default_factory=dict)


class Request(Struct):
    """How to send.

    Attributes:
        client: The client.
        index: Data stream of all records; "" where each names its own.
        params: Further query parameters.
        headers: Further headers.
        expected: Backing index that records should be created in, "" if it does not matter.
        answered: How many requests came back: after an error, what was in them may be there.
    """

    client: "Elasticsearch"
    index: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    expected: str = ""
    answered: int = 0

    def send(self, parts: list[Part]) -> list[Outcome]:
        """Send; a request that is too large for the server is sent in halves.

        ``parts`` is empty afterwards: a request under way is in memory once.
        """
        body, sizes = b"".join([part.body for part in parts]), [part.size for part in parts]
        parts.clear()
        return self._send(body, sizes)

    def _send(self, body: bytes, sizes: list[int]) -> list[Outcome]:
        from elasticsearch import ApiError

        try:
            return self._bulk(body, sizes)
        except ApiError as error:
            if error.status_code != HTTP_TOO_LARGE:
                raise
        if sum(sizes) == 1:
            why = f"a request of {len(body)} bytes is too large for the server"
            return [Outcome(Delivery(np.full(1, NEVER, dtype=np.int16), {0: why}))]
        records = ecs.records(body)
        if len(sizes) > 1:
            half = len(sizes) // 2
            at = sum(sizes[:half])
            return [*self._send(b"".join(records[:at]), sizes[:half]), *self._send(b"".join(records[at:]), sizes[half:])]  # fmt: skip
        half = len(records) // 2
        (first,), (second,) = (self._send(b"".join(some), [len(some)]) for some in (records[:half], records[half:]))  # fmt: skip
        status = np.concatenate([first.delivery.status, second.delivery.status])
        reasons = first.delivery.reasons | {half + row: why for row, why in second.delivery.reasons.items()}  # fmt: skip
        landed = first.landed | {half + row: where for row, where in second.landed.items()}
        return [Outcome(Delivery(status, reasons), landed)]

    def _bulk(self, body: bytes, sizes: Sequence[int]) -> list[Outcome]:
        named = ",items.*._index" if self.expected else ""
        reach("bulk.before_send")
        answer: Any = ask(
            self.client, "POST", f"/{self.index}/_bulk" if self.index else "/_bulk", body,
            params={"filter_path": f"errors,items.*.status,items.*.error{named}", **self.params},
            headers={"content-type": LINES, **self.headers},
        )  # fmt: skip
        reach("bulk.answered")
        self.answered += 1
        if not answer.get("errors"):
            if not self.expected or self._all_where_expected(answer.get("raw", b""), sum(sizes)):
                return [Outcome(Delivery(np.full(size, STORED, dtype=np.int16))) for size in sizes]
            answer = orjson.loads(answer["raw"])
        return read_items(answer.get("items", []), sizes, self.expected)

    def _all_where_expected(self, raw: bytes, size: int) -> bool:
        """Tell without taking the answer apart, as there are thousands of items in it."""
        return raw.count(b'"_index":"%b"' % self.expected.encode()) == size


def part_of(batch: LogBatch, index: str) -> Part:
    """Return the lines of a batch."""
    return Part(ecs.bulk(batch, index), len(batch))


def read_items(items: Sequence[Mapping[str, Any]], sizes: Sequence[int], expected: str = "") -> list[Outcome]:  # fmt: skip
    """Read each item's status; what the answer does not mention is sent again."""
    outcomes = []
    at = 0
    for size in sizes:
        status = np.full(size, LATER, dtype=np.int16)
        reasons: dict[int, str] = {}
        landed: dict[int, str] = {}
        for row, item in enumerate(items[at : at + size]):
            outcome = next(iter(item.values()))
            status[row] = _code(outcome)
            if status[row] not in (STORED, THERE):
                reasons[row] = _why(outcome.get("error"))
            elif status[row] == STORED and expected and outcome.get("_index", expected) != expected:
                landed[row] = str(outcome["_index"])
        at += size
        outcomes.append(Outcome(Delivery(status, reasons), landed))
    return outcomes


def _code(outcome: Mapping[str, Any]) -> int:
    """Return an item's status in the words of ``Delivery``: only what a document is to blame for is 400."""
    code = int(outcome.get("status", LATER))
    if code in (STORED, THERE, 403, 429) or code >= 500:
        return code
    if code < 300:
        return STORED
    error = outcome.get("error")
    kind = error.get("type") if isinstance(error, Mapping) else ""
    return LATER if kind in _NOT_THE_DOCUMENT or code in (401, 404, 408) else NEVER


def _why(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    cause = error.get("caused_by")
    reason = f"{error.get('type')}: {error.get('reason')}"
    return f"{reason} ({_why(cause)})" if cause else reason

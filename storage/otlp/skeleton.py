"""OTLP requests that differ from an earlier one in nothing but numbers."""

from typing import Final

import numpy as np
from msgspec import Struct

from storage.otlp.gather import Columns, Plan
from storage.otlp.walk import Walked
from storage.remote.lookalikes import Lookalikes
from storage.remote.wire import WireError, read_delimited

_FEWEST: Final = 50  # samples; smaller requests are not worth it
_MOST_TELLING: Final = 4_096

Key = tuple[int, bytes]


class _Skeleton(Struct, frozen=True):
    """What was found in an earlier request, and where its numbers stood."""

    walked: Walked
    plan: Plan


class Skeletons:
    """What earlier requests looked like, the latest ones; for one thread at a time."""

    def __init__(self) -> None:
        self._known: Lookalikes[_Skeleton] = Lookalikes()

    def forget(self) -> None:
        """Begin anew."""
        self._known.forget()

    def read(self, data: bytes) -> tuple[Walked, Columns] | None:
        """Return what a request holds if it looks like an earlier one."""
        found = self._known.find(_key(data), data)
        return None if found is None else (found.walked, found.plan.read(data))

    def remember(self, data: bytes, walked: Walked, plan: Plan) -> None:
        """Keep a request that was walked through, if one like it came before and all of it is columns."""
        if len(plan.rows) < _FEWEST or any(part.slow for part in walked.parts):
            return
        if self._known.is_due(key := _key(data)):
            numbers = np.concatenate([plan.places(), np.array(walked.unread, dtype=np.int64)])
            kept = _Skeleton(Walked(walked.parts, points=walked.points), plan)
            varying = numbers[:, None] + np.arange(8)
            self._known.keep(key, data, varying, kept, 5 * plan.rows.nbytes)


def _key(data: bytes) -> Key:
    """Return what likely differs between requests of other series: the length and the first resource."""
    try:
        at, end = read_delimited(data, 1, len(data))
        at, end = read_delimited(data, at + 1, end)
    except WireError:
        return len(data), b""
    return len(data), data[at : min(end, at + _MOST_TELLING)]

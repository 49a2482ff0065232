"""How long records are kept, and the rolling over and deleting where the server has nothing that does it."""

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from logship.sink.elasticsearch.client import ask

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

DAY_MS: Final = 86_400_000
EVERY_SECONDS: Final = 600.0


class Retention(Struct, frozen=True):
    """How long.

    Attributes:
        days: Records are removed, with the index they are in, so long after it was written to last; 0 keeps them for ever.
        rollover_days: A new index is begun after so long.
        rollover_bytes: Or when one shard's primary is so large.
    """

    days: float = 0.0
    rollover_days: float = 7.0
    rollover_bytes: int = 50 << 30

    def lifecycle(self) -> dict[str, Any]:
        """Return the data stream's own lifecycle; the server rolls over as it is set up to."""
        return {"data_retention": _span(self.days)} if self.days else {}

    def policy(self) -> dict[str, Any]:
        """Return an index lifecycle policy."""
        phases: dict[str, Any] = {"hot": {"actions": {"rollover": self.conditions()}}}
        if self.days:
            phases["delete"] = {"min_age": _span(self.days), "actions": {"delete": {}}}
        return {"phases": phases}

    def conditions(self) -> dict[str, Any]:
        """Return when to begin a new index."""
        return {"max_age": _span(self.rollover_days), "max_primary_shard_size": f"{self.rollover_bytes}b"}  # fmt: skip


def _span(days: float) -> str:
    return f"{max(1, round(days * DAY_MS))}ms" if days % 1 else f"{int(days)}d"


class Keeper:
    """Rolls data streams over and deletes what is too old, from time to time; several may do so at once.

    The server's own clock counts.
    """

    def __init__(self, retention: Retention, every_seconds: float = EVERY_SECONDS) -> None:
        self._retention = retention
        self._every = every_seconds
        self._due = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._due

    def keep(self, client: "Elasticsearch", streams: list[str]) -> list[str]:
        """Do what is due and return the indices that were deleted.

        Raises:
            Exception: What the client raises; the next look is at its usual time.
        """
        self._due = time.monotonic() + self._every
        deleted = []
        for stream in streams:
            ask(client, "POST", f"/{stream}/_rollover", {"conditions": self._retention.conditions()})  # fmt: skip
            if self._retention.days:
                deleted += self._delete(client, stream)
        return deleted

    def _delete(self, client: "Elasticsearch", stream: str) -> list[str]:
        from elasticsearch import NotFoundError

        (found,) = ask(client, "GET", f"/_data_stream/{stream}")["data_streams"]
        names = [index["index_name"] for index in found["indices"]]
        if len(names) < 2:
            return []
        settings = ask(client, "GET", f"/{stream}/_settings/index.creation_date")
        (now,) = ask(client, "GET", "/_cat/health", params={"format": "json", "h": "epoch"})
        oldest = int(now["epoch"]) * 1000 - self._retention.days * DAY_MS
        deleted = []
        # an index was written to until the next one was made
        for name, successor in pairwise(names):
            made = settings.get(successor, {}).get("settings", {}).get("index", {}).get("creation_date")  # fmt: skip
            if made is None or int(made) > oldest:
                break
            try:
                ask(client, "DELETE", f"/{name}")
            except NotFoundError:  # another agent was faster
                continue
            deleted.append(name)
        return deleted

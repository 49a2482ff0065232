"""What is in Elasticsearch, asked directly: how much of each task has arrived, and everything at the end."""

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

_PAGE = 5000
_MISSING = "?ignore_unavailable=true"
_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)  # the node itself is busy, which is nobody's fault


class Document(Struct, frozen=True):
    """One document, as far as the oracle looks at it; ``source`` and ``offset`` are the parts of its id."""

    task: str
    source: str
    offset: int
    time: str
    message: str


class Stored:
    """The data stream of one run."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self.stream = f"logs-task-{namespace}"
        self._every = f"{self.stream},logs-task.event-{namespace}"
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._asked = 0.0

    def arrived(self, task: str) -> int:
        """Return how many documents a task has; asked at most once a second for all."""
        with self._lock:
            if time.monotonic() - self._asked > 1.0:
                self._counts = self.counts()
                self._asked = time.monotonic()
            return self._counts.get(task, 0)

    def counts(self) -> dict[str, int]:
        """Return the number of documents by task."""
        try:
            self._ask("POST", f"/{self._every}/_refresh{_MISSING}")
            body = {"size": 0, "aggs": {"t": {"terms": {"field": "taskscope.task.name", "size": 1000}}}}  # fmt: skip
            found = self._ask("POST", f"/{self._every}/_search{_MISSING}", body)
        except urllib.error.HTTPError as error:
            if error.code == 404:  # nothing has come yet
                return {}
            raise
        buckets = found["aggregations"]["t"]["buckets"] if "aggregations" in found else []
        return {one["key"]: one["doc_count"] for one in buckets}

    def documents(self) -> Iterator[Document]:
        """Yield every document of every backing index."""
        self._ask("POST", f"/{self._every}/_refresh")
        point = self._ask("POST", f"/{self._every}/_pit?keep_alive=5m")["id"]
        body: dict[str, Any] = {"size": _PAGE, "sort": ["_shard_doc"], "track_total_hits": False, "pit": {"id": point, "keep_alive": "5m"},
                                "_source": ["message", "@timestamp", "taskscope.task.name"]}  # fmt: skip
        try:
            while hits := self._ask("POST", "/_search", body)["hits"]["hits"]:
                for hit in hits:
                    source, _, offset = hit["_id"].rpartition("-")
                    said = hit["_source"]
                    yield Document(said["taskscope.task.name"], source, int(offset, 16), said["@timestamp"], said["message"])  # fmt: skip
                body["search_after"] = hits[-1]["sort"]
        finally:
            self._ask("DELETE", "/_pit", {"id": point})

    def indices(self) -> int:
        """Return how many backing indices there are."""
        found = self._ask("GET", f"/_resolve/index/{self.stream}")["data_streams"]
        return len(found[0]["backing_indices"]) if found else 0

    def delete(self) -> None:
        """Remove the data stream."""
        for stream in self._every.split(","):
            with contextlib.suppress(urllib.error.HTTPError):  # 404: it never came into being
                self._ask("DELETE", f"/_data_stream/{stream}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)  # fmt: skip
        for wait in (*_WAITS, None):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 429 or wait is None:
                    raise
                time.sleep(wait)
        raise AssertionError

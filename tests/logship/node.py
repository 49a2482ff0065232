"""What tests of the Elasticsearch sink share: a node, asked directly, and data streams of a test's own."""

import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from logship.sink.elasticsearch.client import Connection
from logship.sink.elasticsearch.sink import ElasticsearchSink

URL = f"http://127.0.0.1:{os.environ.get('TASKSCOPE_TEST_ES_PORT', '19200')}"


class Node:
    """A node (or a double of one) and one data stream of its own on it."""

    def __init__(self, url: str = URL, headers: dict[str, str] | None = None) -> None:
        self.url = url
        self.dataset = f"ship{time.time_ns():x}"
        self.stream = f"logs-{self.dataset}-default"
        self.template = f"ship-test-{self.dataset}"
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask it directly; an error status raises ``HTTPError``."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def rollover(self) -> None:
        """Begin a new backing index."""
        self.ask("POST", f"/{self.stream}/_rollover")

    def backing(self) -> list[str]:
        """Return the backing indices."""
        (found,) = self.ask("GET", f"/_data_stream/{self.stream}")["data_streams"]
        return [index["index_name"] for index in found["indices"]]

    def hits(self) -> list[dict[str, Any]]:
        """Return the documents in order of offset, over all backing indices."""
        self.ask("POST", f"/{self.stream}/_refresh")
        body = {"size": 10_000, "sort": ["log.offset"]}
        hits: list[dict[str, Any]] = self.ask("POST", f"/{self.stream}/_search", body)["hits"]["hits"]  # fmt: skip
        return hits

    def messages(self) -> Counter[str]:
        """Count each message."""
        return Counter(hit["_source"]["message"] for hit in self.hits())

    def sink(self, url: str = "", **more: Any) -> ElasticsearchSink:
        """Return a sink that writes to the stream, with templates of its own."""
        connection = more.pop("connection", None) or Connection((url or self.url,))
        return ElasticsearchSink(connection, dataset=self.dataset, template_name=self.template, **more)  # fmt: skip

    def remove(self) -> None:
        """Remove stream and templates."""
        for path in (f"/_data_stream/{self.stream}", f"/_index_template/{self.template}-{self.dataset}", f"/_component_template/{self.template}@mappings"):  # fmt: skip
            with suppress(OSError):  # it was never made
                self.ask("DELETE", path)


@contextmanager
def on_node(url: str = URL) -> Iterator[Node]:
    """A node that is clean afterwards."""
    node = Node(url)
    try:
        yield node
    finally:
        node.remove()

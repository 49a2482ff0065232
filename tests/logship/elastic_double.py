"""An Elasticsearch that is none: data streams in memory, as far as the sink uses them, with a login if a test wants one.

The contract test runs the same tests on this and on a real node, so that what is tested here alone
(logins, refusals) stands on something that behaves alike.
"""

import base64
import fnmatch
import json
import threading
from typing import Any

from tests.logship.server import Answer

HEADERS = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
Found = tuple[int, Any]


def error(status: int, kind: str, reason: str = "because") -> Found:
    """Return an error as Elasticsearch words it."""
    return status, {"error": {"type": kind, "reason": reason, "root_cause": []}, "status": status}


class Double:
    """Answers requests; give it to ``Server``.

    Attributes:
        logins: Accepted values of ``Authorization``; empty for none needed.
        refusals: Item errors by word in the document, taken away one by one.
    """

    def __init__(self) -> None:
        self.logins: set[str] = set()
        self.refusals: dict[str, list[tuple[int, str]]] = {}
        self.templates: dict[str, Any] = {}
        self.streams: dict[str, list[str]] = {}
        self.indices: dict[str, dict[str, Any]] = {}
        self.blocked: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def basic(self, user: str, password: str) -> None:
        """Accept a user."""
        self.logins.add("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())

    def api_key(self, key: str) -> None:
        """Accept an API key."""
        self.logins.add(f"ApiKey {key}")

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        self.headers.append(headers)
        if self.logins and headers.get("authorization", headers.get("Authorization")) not in self.logins:  # fmt: skip
            status, answer = error(401, "security_exception", "missing or wrong credentials")
        else:
            with self._lock:
                status, answer = self._route(method, path.partition("?")[0], "require_data_stream=true" in path, body)  # fmt: skip
        return status, json.dumps(answer).encode(), HEADERS

    def _route(self, method: str, path: str, strict: bool, body: bytes) -> Found:
        name, _, action = path.strip("/").partition("/")
        if path == "/":
            return 200, {"version": {"number": "8.19.0"}}
        if path.endswith("_bulk"):
            return self._bulk("" if name == "_bulk" else name, strict, body)
        if name in ("_component_template", "_index_template", "_ilm"):
            return self._template(method, path, name[1:], body)
        if name == "_data_stream":
            return self._stream(method, action)
        if name == "_tasks":
            return 200, {"tasks": []}
        if name == "_cat":
            return 200, [{"epoch": "1795341600"}]
        if action in ("_rollover", "_refresh", "_search", "_settings") and name in self.streams:
            return self._on_stream(name, action, json.loads(body) if body else {})
        return error(404, "index_not_found_exception", f"no such index [{name}]")

    def _template(self, method: str, path: str, kind: str, body: bytes) -> Found:
        if path.endswith("/_simulate"):
            return 200, {}
        if method == "PUT":
            self.templates[path] = json.loads(body)
            return 200, {"acknowledged": True}
        if path not in self.templates:
            return error(404, "resource_not_found_exception")
        if method == "DELETE":
            del self.templates[path]
            return 200, {"acknowledged": True}
        return 200, {f"{kind}s": [{"name": path.rpartition("/")[2], kind: self.templates[path]}]}

    def _stream(self, method: str, name: str) -> Found:
        if name not in self.streams:
            return error(404, "index_not_found_exception")
        if method == "DELETE":
            del self.streams[name]
            return 200, {"acknowledged": True}
        backing = [{"index_name": index} for index in self.streams[name]]
        return 200, {"data_streams": [{"name": name, "indices": backing}]}

    def _on_stream(self, name: str, action: str, body: dict[str, Any]) -> Found:
        if action == "_rollover":
            if body:  # under conditions, which are never met here
                return 200, {"rolled_over": False}
            self._add_backing(name)
            return 200, {"rolled_over": True}
        if action == "_settings":
            (self.blocked.add if body.get("index.blocks.write") else self.blocked.discard)(name)
            return 200, {"acknowledged": True}
        if action == "_refresh":
            return 200, {"_shards": {"failed": 0}}
        wanted = body.get("query", {}).get("ids", {}).get("values")
        hits = [
            {"_index": index, "_id": i, "_source": source}
            for index in self.streams[name]
            for i, source in self.indices[index].items()
            if wanted is None or i in wanted
        ]
        hits.sort(key=lambda hit: hit["_source"]["log.offset"])
        return 200, {"_shards": {"failed": 0}, "hits": {"total": {"value": len(hits)}, "hits": hits}}  # fmt: skip

    def _add_backing(self, name: str) -> None:
        backing = self.streams.setdefault(name, [])
        backing.append(f".ds-{name}-2026.01.01-{len(backing) + 1:06d}")
        self.indices[backing[-1]] = {}

    def _bulk(self, index: str, strict: bool, body: bytes) -> Found:
        lines = body.splitlines()
        items = []
        while lines:
            ((action, about),) = json.loads(lines.pop(0)).items()
            where = about.get("_index", index)
            if action == "delete":
                gone = self.indices.get(where, {}).pop(about["_id"], None)
                items.append({"delete": {"status": 200 if gone else 404}})
                continue
            items.append({"create": self._create(where, about["_id"], json.loads(lines.pop(0)), strict)})  # fmt: skip
        return 200, {"errors": any("error" in next(iter(i.values())) for i in items), "took": 1, "items": items}  # fmt: skip

    def _create(self, name: str, ident: str, source: dict[str, Any], strict: bool) -> dict[str, Any]:  # fmt: skip
        for word, answers in self.refusals.items():
            if word in source["message"] and answers:
                status, kind = answers.pop(0)
                return {"_index": name, "status": status, "error": {"type": kind, "reason": f"{kind} of {word}"}}  # fmt: skip
        if name in self.blocked:
            return {"_index": name, "status": 403, "error": {"type": "cluster_block_exception", "reason": "index blocked"}}  # fmt: skip
        if name not in self.streams:
            patterns = [p for t in self.templates.values() for p in t.get("index_patterns", ())]
            if strict and not any(fnmatch.fnmatch(name, p) for p in patterns):
                return {"_index": name, "status": 404, "error": {"type": "index_not_found_exception", "reason": "no such index"}}  # fmt: skip
            self._add_backing(name)
        index = self.streams[name][-1]
        if ident in self.indices[index]:
            return {"_index": index, "status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}  # fmt: skip
        self.indices[index][ident] = source
        return {"_index": index, "status": 201}

"""The templates Taskscope installs: ECS mappings, own fields flattened, a data stream per dataset.

The types are those of a whole Elasticsearch. Of a server that lacks some, the fields in question
get the nearest type that it has (``FALLBACKS``); which it lacks is asked, see ``server``.
"""

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

VERSION: Final = 3  # raise with every change; a newer one on the server is left alone
PRIORITY: Final = 300  # above the built-in logs-*-* (100) and what integrations install (200)

_KEYWORD: Final = {"type": "keyword", "ignore_above": 1024}
_TEXT: Final = {"type": "match_only_text"}
_KEYWORDS: Final = (
    "orchestrator.cluster.name", "orchestrator.type", "orchestrator.namespace", "host.name", "service.name",
    "service.version", "service.environment", "container.id", "container.name", "container.image.name",
    "taskscope.task.id", "taskscope.task.name", "taskscope.stream", "taskscope.source", "log.level", "log.logger", "log.flags",
    "log.file.path", "event.dataset", "event.kind", "event.action", "trace.id", "span.id", "transaction.id",
    "error.type", "error.code", "ecs.version",
)  # fmt: skip
PROPERTIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "@timestamp": {"type": "date_nanos"},
    "message": _TEXT,
    "error.message": _TEXT,
    "error.stack_trace": {"type": "wildcard"},
    "fields": {"type": "flattened", "ignore_above": 8000, "depth_limit": 20},
    "log.offset": {"type": "long"},
    "log.original_bytes": {"type": "long"},
    "taskscope.task.run": {"type": "integer"},
    "process.exit_code": {"type": "long"},
    "event.created": {"type": "date"},
    "data_stream.type": {"type": "constant_keyword", "value": "logs"},
    "data_stream.namespace": {"type": "constant_keyword"},
    **dict.fromkeys(_KEYWORDS, _KEYWORD),
}
# what stands in for a type, and what the field can do less then; parameters are as of the stand-in
FALLBACKS: Final[Mapping[str, tuple[Mapping[str, Any], str]]] = {
    "match_only_text": ({"type": "text"}, "messages take more disk"),
    "wildcard": ({"type": "keyword", "ignore_above": 8000}, "stack traces over 8000 characters are not searched"),
    "constant_keyword": (_KEYWORD, "data_stream.* is not searched"),
    "flattened": ({"type": "object", "enabled": False}, "own fields are kept but not searched"),
    "date_nanos": ({"type": "date"}, "records of the same millisecond are sorted by their place"),
    "unsigned_long": ({"type": "long"}, "declared fields of this type hold less"),
    "scaled_float": ({"type": "double"}, "declared fields of this type take more disk"),
}  # fmt: skip


def properties(lacks: Collection[str], fields: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the mappings for a server that lacks these types.

    Args:
        lacks: Keys of ``FALLBACKS``.
        fields: Fields that the operator declared: type by name in the document.
    """
    wanted = {**PROPERTIES, **{name: _declared(kind) for name, kind in (fields or {}).items()}}
    return {name: dict(FALLBACKS[kind["type"]][0] if kind["type"] in lacks else kind) for name, kind in wanted.items()}  # fmt: skip


def _declared(kind: str) -> dict[str, Any]:
    if kind == "scaled_float":
        return {"type": kind, "scaling_factor": 1000}
    return {"type": kind}


def component(
    name: str, *, lacks: Collection[str] = (), fields: Mapping[str, str] | None = None,
    analysis: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None, lifecycle: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the component template with settings and mappings.

    Args:
        name: Its name, for people.
        lacks: See ``properties``.
        fields: See ``properties``.
        analysis: How messages are cut into words, see ``words``.
        settings: More index settings: a lifecycle policy.
        lifecycle: The data stream's own lifecycle, where the server has one.
    """
    inside: dict[str, Any] = {
        "settings": {
            "index": {
                "codec": "best_compression",
                "mapping.total_fields.limit": 2000,
                # a number that is none is kept and not searched: no reason to refuse a line
                "mapping.ignore_malformed": True,
                **({"analysis": dict(analysis)} if analysis else {}),
                **(settings or {}),
            }
        },
        # what no mapping names stays in _source and is never a reason to refuse a document
        "mappings": {"dynamic": False, "date_detection": False, "properties": properties(lacks, fields)},
    }  # fmt: skip
    if lifecycle is not None:
        inside["lifecycle"] = lifecycle
    return _marked({"template": inside}, f"Log records of tasks ({name}).")


def index_template(component_name: str, patterns: list[str], *, dataset: str = "", lacks: Collection[str] = (), custom: str = "") -> dict[str, Any]:  # fmt: skip
    """Return the index template that makes matching names data streams.

    Args:
        component_name: Of ``component``.
        patterns: Names of data streams.
        dataset: What ``data_stream.dataset`` is in all of them.
        lacks: See ``properties``.
        custom: A component template that operators may make, for replicas, allocation and the like.
    """
    body: dict[str, Any] = {
        "index_patterns": patterns,
        "data_stream": {},
        "composed_of": [component_name],
        "priority": PRIORITY,
    }
    if dataset and "constant_keyword" not in lacks:
        constant = {"type": "constant_keyword", "value": dataset}
        body["template"] = {"mappings": {"properties": {"data_stream.dataset": constant}}}
    if custom:
        body["composed_of"] = [component_name, custom]
        body["ignore_missing_component_templates"] = [custom]
    return _marked(body, "Data streams of task logs.")


def _marked(body: dict[str, Any], description: str) -> dict[str, Any]:
    meta = {"managed_by": "taskscope", "description": description, "digest": digest(body)}
    return {**body, "version": VERSION, "_meta": meta}


def digest(body: Mapping[str, Any]) -> str:
    """Return by what an unchanged body is known without comparing it with what the server made of it."""
    return blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()

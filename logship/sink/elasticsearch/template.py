"""The templates Taskscope installs: ECS mappings, own fields flattened, a data stream per dataset."""

from typing import Any, Final

VERSION: Final = 1  # raise with every change; an older template on the server is replaced
PRIORITY: Final = 300  # above the built-in logs-*-* (100) and what integrations install (200)

_KEYWORD: Final = {"type": "keyword", "ignore_above": 1024}
_KEYWORDS: Final = (
    "orchestrator.cluster.name", "orchestrator.type", "orchestrator.namespace", "host.name", "service.name",
    "container.id", "container.name", "container.image.name", "taskscope.task.id", "taskscope.task.name",
    "taskscope.stream", "log.level", "log.flags", "event.dataset", "trace.id", "ecs.version",
    "data_stream.type", "data_stream.dataset", "data_stream.namespace", "event.kind", "event.action",
)  # fmt: skip


def component(name: str) -> dict[str, Any]:
    """Return the component template with settings and mappings."""
    properties: dict[str, Any] = {
        "@timestamp": {"type": "date_nanos"},
        "message": {"type": "text"},
        "fields": {"type": "flattened", "ignore_above": 8000, "depth_limit": 20},
        "log.offset": {"type": "long"},
        "log.original_bytes": {"type": "long"},
        "taskscope.task.run": {"type": "integer"},
        "event.created": {"type": "date"},
        **dict.fromkeys(_KEYWORDS, _KEYWORD),
    }
    return {
        "template": {
            "settings": {
                "index": {"codec": "best_compression", "mapping.total_fields.limit": 2000}
            },
            # what no mapping names stays in _source and is never a reason to refuse a document
            "mappings": {"dynamic": False, "date_detection": False, "properties": properties},
        },
        "version": VERSION,
        "_meta": {"managed_by": "taskscope", "description": f"Log records of tasks ({name})."},
    }


def index_template(component_name: str, patterns: list[str]) -> dict[str, Any]:
    """Return the index template that makes matching names data streams."""
    return {
        "index_patterns": patterns,
        "data_stream": {},
        "composed_of": [component_name],
        "priority": PRIORITY,
        "version": VERSION,
        "_meta": {"managed_by": "taskscope"},
    }

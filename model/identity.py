"""One identity, three vocabularies; no other module spells these names. See docs/specs/identity.md.

Prometheus labels are few and fixed. ECS 8 gives most fields a home; what it lacks is under
``taskscope.task.*``. OpenTelemetry names are those of the resource semantic conventions.
"""

from collections.abc import Mapping
from typing import Final

from model.task import TaskIdentity

# TaskIdentity field -> (Prometheus label or "", ECS field, OpenTelemetry resource attribute)
VOCABULARIES: Final[dict[str, tuple[str, str, str]]] = {
    "cluster": ("cluster", "orchestrator.cluster.name", "k8s.cluster.name"),
    "host": ("host", "host.name", "host.name"),
    "framework": ("framework", "orchestrator.type", "taskscope.framework"),
    "namespace": ("namespace", "orchestrator.namespace", "service.namespace"),
    "app": ("app", "service.name", "service.name"),
    "task_name": ("task_name", "taskscope.task.name", "taskscope.task.name"),
    "task_id": ("task_id", "taskscope.task.id", "service.instance.id"),
    "container_id": ("container_id", "container.id", "container.id"),
    "container_name": ("", "container.name", "container.name"),
    "image": ("", "container.image.name", "container.image.name"),
}

PROMETHEUS_LABELS: Final = tuple(p for p, _, _ in VOCABULARIES.values() if p)
ECS_FIELDS: Final[dict[str, str]] = {name: ecs for name, (_, ecs, _) in VOCABULARIES.items()}
RESOURCE_ATTRIBUTES: Final[dict[str, str]] = {name: o for name, (_, _, o) in VOCABULARIES.items()}
# The short words of Taskscope's own log queries ("app:shop level:error") and their ECS fields.
QUERY_FIELDS: Final[dict[str, str]] = {
    **ECS_FIELDS,
    "level": "log.level",
    "stream": "taskscope.stream",
    "run": "taskscope.task.run",
    "dataset": "event.dataset",
    "trace_id": "trace.id",
}


def prometheus_labels(identity: TaskIdentity) -> dict[str, str]:
    """Return the label pairs every series of the task carries; empty values are left out."""
    pairs = (
        (label, getattr(identity, name)) for name, (label, _, _) in VOCABULARIES.items() if label
    )
    return {label: value for label, value in pairs if value}


def ecs_fields(identity: TaskIdentity) -> dict[str, str]:
    """Return the flat ECS fields every log document of the task carries; empty values are left out."""
    pairs = ((ecs, getattr(identity, name)) for name, ecs in ECS_FIELDS.items())
    return {field: value for field, value in pairs if value}


def labels_of_resource(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the label pairs that an OpenTelemetry resource gives to its series."""
    return {
        label: attributes[attribute]
        for label, _, attribute in VOCABULARIES.values()
        if label and attributes.get(attribute)
    }


if set(TaskIdentity.__struct_fields__) != set(VOCABULARIES):  # pragma: no cover
    raise AssertionError("VOCABULARIES must map every field of TaskIdentity")

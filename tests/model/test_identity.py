"""One identity in three vocabularies, as docs/specs/identity.md has it."""

import re
from pathlib import Path

from model.identity import (
    ECS_FIELDS,
    PROMETHEUS_LABELS,
    VOCABULARIES,
    ecs_fields,
    prometheus_labels,
)
from model.task import TaskIdentity
from tests.fakes.tasks import make_task

SPEC = Path(__file__).parents[2] / "docs" / "specs" / "identity.md"
IDENTITY = make_task("shop-1", app="shop").identity


def test_the_specification_has_the_same_table() -> None:
    """Field by field and name by name; a label that no series has is none there."""
    rows = re.findall(
        r"^\| (\w+) \| (\S+)(?: \(.*?\))? \| `(.+?)` \| `(.+?)` \|", SPEC.read_text(), re.MULTILINE
    )
    written = {field: (label.strip("`"), ecs, otel) for field, label, ecs, otel in rows}
    ours = {
        field: (label or "none", ecs, otel) for field, (label, ecs, otel) in VOCABULARIES.items()
    }

    assert written == ours
    assert list(VOCABULARIES) == list(TaskIdentity.__struct_fields__)


def test_each_vocabulary_carries_the_whole_identity() -> None:
    """Every value that is not empty stands under its name."""
    given = {name for name in VOCABULARIES if getattr(IDENTITY, name)}

    assert set(prometheus_labels(IDENTITY)) == {VOCABULARIES[n][0] for n in given} - {""}
    assert set(ecs_fields(IDENTITY)) == {ECS_FIELDS[name] for name in given}
    assert set(prometheus_labels(IDENTITY)) <= set(PROMETHEUS_LABELS)


def test_what_a_runtime_does_not_give_is_left_out() -> None:
    """A process has no container; no vocabulary says an empty one."""
    bare = TaskIdentity(
        "", "h", "process", "", "", "", IDENTITY.task_id, type(IDENTITY.container_id)("")
    )

    assert prometheus_labels(bare) == {
        "host": "h",
        "framework": "process",
        "task_id": IDENTITY.task_id,
    }
    assert "container.id" not in ecs_fields(bare)

"""What runtimes say of tasks, as series."""

import pytest

from collector.tasks import TaskSeries
from model.catalog import CATALOG
from model.task import Exit, Run, Task, TaskState
from tests.fakes.tasks import FakeTaskSource, make_task

START = 1_767_225_600_000


def values(task: Task) -> dict[str, float]:
    """Return a task's values by name; states by their word."""
    (block,) = TaskSeries(FakeTaskSource(task)).collect(START)
    return {
        labels.get("state") or labels.get("__name__"): value
        for labels, value in zip(block.labels, block.values.tolist(), strict=True)
    }


def test_a_running_task() -> None:
    """State set, start and counts; nothing of an end it has not had."""
    found = values(make_task(restarts=2, oom_kills=1))

    assert [state for state in TaskState if found[state.value]] == [TaskState.RUNNING]
    assert found["task_start_time_seconds"] == START / 1000
    assert found["container_restarts_total"] == 2
    assert found["task_oom_kills_total"] == 1
    assert "task_last_exit_code" not in found
    assert "task_last_exit_time_seconds" not in found


@pytest.mark.parametrize(
    ("runs", "code", "at"),
    [
        ((Run(1, START, START + 5000, Exit(137, 9, oom=True)),), 137, 5),
        ((Run(1, START, START + 5000, Exit(1)), Run(2, START + 6000)), 1, 5),  # runs again
        ((Run(1, START, START + 5000, Exit(None)),), None, 5),  # nobody knows the code
        ((Run(1, START, START + 5000, None),), None, 5),
    ],
)
def test_how_the_last_run_ended(runs: tuple[Run, ...], code: int | None, at: int) -> None:
    """Code and time of the most recently ended run, also while the next one runs."""
    found = values(make_task(runs=runs, state=TaskState.FAILED))

    assert found.get("task_last_exit_code") == code
    assert found["task_last_exit_time_seconds"] == START / 1000 + at


def test_a_task_that_never_started() -> None:
    """Without a run there is neither start nor end."""
    found = values(make_task(runs=(), state=TaskState.STAGING))

    assert "task_start_time_seconds" not in found
    assert found["staging"] == 1


def test_info_joins_image_and_name() -> None:
    """task_info carries what other series do not; every name is catalogued."""
    source = TaskSeries(FakeTaskSource(make_task()))
    (block,) = source.collect(START)
    info = block.labels[0]

    assert (info.get("image"), info.get("container_name")) == ("shop:1", "shop-1")
    assert not any(labels.get("image") for labels in block.labels[1:])
    assert {labels.get("__name__") for labels in block.labels} <= set(CATALOG)
    assert next(iter(source.collect(START))).labels is block.labels


def test_info_carries_the_labels_that_the_operator_lists() -> None:
    """Only ``task_info`` has them, and its label set stays the same object while they do."""
    extra = {"container_label_team": "web"}
    source = TaskSeries(FakeTaskSource(make_task()), lambda task: dict(extra))
    (block,) = source.collect(START)
    again = next(iter(source.collect(START)))
    extra["container_label_team"] = "shop"
    changed = next(iter(source.collect(START)))

    assert block.labels[0].get("container_label_team") == "web"
    assert not any(labels.get("container_label_team") for labels in block.labels[1:])
    assert again.labels is block.labels
    assert changed.labels[0].get("container_label_team") == "shop"


def test_a_forgotten_task_has_no_block() -> None:
    """Once the source has forgotten a task, so have we."""
    tasks = FakeTaskSource(make_task("a"), make_task("b"))
    source = TaskSeries(tasks)

    assert len(list(source.collect(START))) == 2
    tasks.set(make_task("b"))
    assert [block.key for block in source.collect(START)] == ["task/b-id"]

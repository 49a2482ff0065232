"""Metrics of tasks, from what their runtime says."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "task_info",
        "info",
        "",
        "Always 1; joins image, container name and the labels of discovery.label_allow_list on task_id.",
        ("image", "container_name"),
        per_task=True,
    ),
    Metric(
        "task_state",
        "stateset",
        "",
        "1 for the state the task is in, 0 for the others.",
        ("state",),
        per_task=True,
    ),
    Metric(
        "task_start_time_seconds",
        "gauge",
        "seconds",
        "Start of the current or latest run, since the epoch.",
        per_task=True,
    ),
    Metric(
        "container_restarts_total",
        "counter",
        "",
        "Starts of the task beyond the first.",
        per_task=True,
    ),
    Metric(
        "task_last_exit_code",
        "gauge",
        "",
        "Exit code of the most recently ended run.",
        per_task=True,
    ),
    Metric(
        "task_last_exit_time_seconds",
        "gauge",
        "seconds",
        "When the most recently ended run ended, since the epoch.",
        per_task=True,
    ),
    Metric(
        "task_oom_kills_total",
        "counter",
        "",
        "Runs of the task that were ended for want of memory, and kills inside it that it survived.",
        per_task=True,
    ),
)

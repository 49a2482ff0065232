"""The tasks of one app: how they are, what they use against their limits, what they say."""

from typing import Final

from dashboards.grafana import (
    AGO,
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    COUNT,
    GREEN,
    GREY,
    PER_SECOND,
    RATIO,
    RED,
    SECONDS,
    YELLOW,
    Page,
    Query,
    Row,
    Step,
)
from dashboards.panels import lines_by_level, log_volume, logs, stat, timeline, timeseries
from dashboards.selectors import CLUSTER, LOGS_OF_TASKS, ONE_APP, TASK, TASKS

_STATES: Final = {
    1: ("running", GREEN),
    2: ("staging", YELLOW),
    3: ("paused", YELLOW),
    4: ("restarting", YELLOW),
    5: ("finished", GREY),
    6: ("failed", RED),
    7: ("killed", GREY),
    8: ("lost", RED),
}
_HEALTH: Final = {
    1: ("healthy", GREEN),
    2: ("starting", YELLOW),
    3: ("unhealthy", RED),
    4: ("unknown", GREY),
}


def task() -> Page:
    """Return the dashboard ``taskscope-task``."""
    return Page(
        uid="taskscope-task",
        title="Taskscope / Task",
        description="One app's tasks: state, health, resources against limits, how they ended, and their logs.",
        variables=(CLUSTER, ONE_APP, TASK),
        rows=(_state(), _cpu_and_memory(), _input_and_output(), _own_endpoint(), _logs()),
    )


def _as_number(metric: str, label: str, words: dict[int, tuple[str, str]]) -> str:
    """Return an expression with the number of the word that holds; states come as one series for each word."""
    terms = (
        f'({number} * {metric}{{{label}="{word}", {TASKS}}})' for number, (word, _) in words.items()
    )
    return f"sum by (task_name) ({' or '.join(terms)})"


def _state() -> Row:
    return Row(
        "State",
        (
            timeline(
                "State",
                "What each task was doing.",
                Query(_as_number("task_state", "state", _STATES), "{{task_name}}"),
                words=_STATES,
            ),
            timeline(
                "Health",
                "What the liveness checks, or the runtime's own, said.",
                Query(
                    _as_number("task_health_status", "status", _HEALTH),
                    "{{task_name}}",
                    sparse="only tasks with a health check",
                ),
                words=_HEALTH,
            ),
            stat(
                "Restarts",
                "Starts beyond the first, within the time range.",
                Query(
                    f"sum(increase(container_restarts_total{{{TASKS}}}[$__range]))", instant=True
                ),
                steps=(Step(None, GREEN), Step(1, YELLOW), Step(10, RED)),
            ),
            stat(
                "Out of memory",
                "How often the kernel killed for want of memory, within the time range.",
                Query(
                    f"sum(increase(task_oom_kills_total{{{TASKS}}}[$__range])) or vector(0)",
                    instant=True,
                ),
                steps=(Step(None, GREEN), Step(1, RED)),
            ),
            stat(
                "Last start",
                "When the youngest run started.",
                Query(f"1000 * max(task_start_time_seconds{{{TASKS}}})", instant=True),
                unit=AGO,
            ),
            stat(
                "Last exit code",
                "Exit code of the run that ended last; 128 and a signal's number if a signal ended it.",
                Query(
                    f"max(task_last_exit_code{{{TASKS}}})",
                    instant=True,
                    sparse="only tasks of which a run has ended",
                ),
                unit="none",
                steps=(Step(None, GREEN), Step(1, RED)),
            ),
            timeseries(
                "Check duration",
                "How long the last probe of each health check took.",
                Query(
                    f"max by (task_name, check) (probe_duration_seconds{{{TASKS}}})",
                    "{{task_name}} {{check}}",
                    sparse="only tasks with a health check",
                ),
                unit=SECONDS,
                height=4,
            ),
        ),
    )


def _cpu_and_memory() -> Row:
    return Row(
        "CPU and memory",
        (
            timeseries(
                "CPU",
                "Cores in use; the limit is drawn for tasks that have one.",
                Query(
                    f"sum by (task_name) (rate(container_cpu_usage_seconds_total{{{TASKS}}}"
                    "[$__rate_interval]))",
                    "{{task_name}}",
                ),
                Query(
                    f"max by (task_name) (container_spec_cpu_quota{{{TASKS}}} "
                    f"/ container_spec_cpu_period{{{TASKS}}})",
                    "{{task_name}} limit",
                    sparse="only tasks with a CPU limit",
                ),
                unit=CORES,
            ),
            timeseries(
                "CPU held back",
                "Part of the quota periods in which the task had used up its share and had to wait.",
                Query(
                    "sum by (task_name) "
                    f"(rate(container_cpu_cfs_throttled_periods_total{{{TASKS}}}[$__rate_interval])) "
                    "/ sum by (task_name) "
                    f"(rate(container_cpu_cfs_periods_total{{{TASKS}}}[$__rate_interval]))",
                    "{{task_name}}",
                    sparse="only tasks with a CPU limit",
                ),
                unit=RATIO,
                maximum=1,
            ),
            timeseries(
                "Memory",
                "Working set: what the kernel cannot take back at once. At the limit it kills.",
                Query(
                    f"max by (task_name) (container_memory_working_set_bytes{{{TASKS}}})",
                    "{{task_name}}",
                ),
                Query(
                    f"max by (task_name) (container_spec_memory_limit_bytes{{{TASKS}}} > 0)",
                    "{{task_name}} limit",
                    sparse="only tasks with a memory limit",
                ),
                unit=BYTES,
            ),
        ),
    )


def _input_and_output() -> Row:
    return Row(
        "Network and disks",
        (
            timeseries(
                "Network",
                "Bytes a second, in and out.",
                Query(_by_task("container_network_receive_bytes_total"), "{{task_name}} in"),
                Query(_by_task("container_network_transmit_bytes_total"), "{{task_name}} out"),
                unit=BYTES_PER_SECOND,
            ),
            timeseries(
                "Disks",
                "Bytes a second read from and written to block devices.",
                Query(
                    _by_task("container_fs_reads_bytes_total"),
                    "{{task_name}} read",
                    sparse="only tasks that have read from a disk",
                ),
                Query(
                    _by_task("container_fs_writes_bytes_total"),
                    "{{task_name}} written",
                    sparse="only tasks that have written to a disk",
                ),
                unit=BYTES_PER_SECOND,
            ),
            timeseries(
                "Packets lost",
                "Packets a second that were dropped or damaged on the task's interfaces.",
                Query(
                    _by_task("container_network_receive_packets_dropped_total"),
                    "{{task_name}} in",
                ),
                Query(
                    _by_task("container_network_transmit_packets_dropped_total"),
                    "{{task_name}} out",
                ),
                unit=PER_SECOND,
            ),
        ),
    )


def _by_task(counter: str) -> str:
    return f"sum by (task_name) (rate({counter}{{{TASKS}}}[$__rate_interval]))"


def _own_endpoint() -> Row:
    return Row(
        "Processes and own metrics",
        (
            timeseries(
                "Processes",
                "Processes in the task.",
                Query(f"max by (task_name) (container_processes{{{TASKS}}})", "{{task_name}}"),
                unit=COUNT,
            ),
            timeseries(
                "Own metrics reachable",
                "1 while the task's own metrics endpoint answers.",
                Query(
                    f"min by (task_name, job) (up{{{TASKS}}})",
                    "{{task_name}} {{job}}",
                    sparse="only tasks whose own metrics are scraped",
                ),
                unit=COUNT,
                maximum=1,
            ),
            timeseries(
                "Own metrics, samples",
                "Samples that the task's own endpoint exposes.",
                Query(
                    f"max by (task_name, job) (scrape_samples_scraped{{{TASKS}}})",
                    "{{task_name}} {{job}}",
                    sparse="only tasks whose own metrics are scraped",
                ),
                unit=COUNT,
            ),
        ),
    )


def _logs() -> Row:
    return Row(
        "Logs",
        (
            lines_by_level(
                "Lines by level",
                "Lines a second as they were read, also those that no log store keeps.",
                TASKS,
                height=6,
            ),
            log_volume(
                "Stored lines by level",
                "Lines in the log store over time.",
                LOGS_OF_TASKS,
                width=12,
            ),
            logs("Logs", "What the tasks wrote, newest first.", LOGS_OF_TASKS, height=16),
        ),
    )

"""The cluster at a glance: which tasks there are, how they fare, what they use."""

from typing import Final

from dashboards.grafana import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    COUNT,
    GREEN,
    GREY,
    LINES_PER_SECOND,
    RATIO,
    RED,
    YELLOW,
    Page,
    Query,
    Row,
    Step,
)
from dashboards.panels import lines_by_level, logs, stat, table, timeseries
from dashboards.selectors import (
    APP,
    APPS,
    CLUSTER,
    HOST,
    HOSTS,
    LOGS_OF_APPS,
    TO_APP,
    TO_TASK,
    TO_TASK_OF_ROW,
)

_BY: Final = "app, task_name, host"
_NONE_IS_GOOD: Final = (Step(None, GREEN), Step(1, RED))
_STATE_COLORS: Final = {"running": GREEN, "finished": GREY, "failed": RED, "lost": RED}
_HEALTH_COLORS: Final = {"healthy": GREEN, "unhealthy": RED, "starting": YELLOW, "unknown": GREY}


def cluster() -> Page:
    """Return the dashboard ``taskscope-cluster``."""
    return Page(
        uid="taskscope-cluster",
        title="Taskscope / Cluster",
        description="All tasks of the cluster: their states, what they use, what they log, and their hosts.",
        variables=(CLUSTER, HOST, APP),
        rows=(_now(), _tasks(), _resources(), _logs(), _hosts()),
    )


def _now() -> Row:
    return Row(
        "Now",
        (
            stat(
                "Running",
                "Tasks that run now.",
                Query(f'sum(task_state{{state="running", {APPS}}})'),
                steps=(Step(None, GREEN),),
            ),
            stat(
                "Failed",
                "Tasks whose last run ended with an error; they stay listed for the retention time.",
                Query(f'sum(task_state{{state="failed", {APPS}}})'),
                steps=_NONE_IS_GOOD,
            ),
            stat(
                "Unhealthy",
                "Tasks whose liveness checks fail, or whose runtime says so.",
                Query(f'sum(task_health_status{{status="unhealthy", {APPS}}}) or vector(0)'),
                steps=_NONE_IS_GOOD,
            ),
            stat(
                "Restarts",
                "Starts of tasks beyond their first, within the time range.",
                Query(f"sum(increase(container_restarts_total{{{APPS}}}[$__range]))", instant=True),
                steps=(Step(None, GREEN), Step(1, YELLOW), Step(10, RED)),
            ),
            stat(
                "Out of memory",
                "Tasks the kernel killed for want of memory, within the time range.",
                Query(
                    f"sum(increase(task_oom_kills_total{{{APPS}}}[$__range])) or vector(0)",
                    instant=True,
                ),
                steps=_NONE_IS_GOOD,
            ),
            stat(
                "Alerts firing",
                "Alerts that fire now.",
                Query('count(ALERTS{alertstate="firing"}) or vector(0)'),
                steps=_NONE_IS_GOOD,
            ),
        ),
    )


def _tasks() -> Row:
    return Row(
        "Tasks",
        (
            timeseries(
                "Tasks by state",
                "How many tasks are in which state; ended tasks stay for the retention time.",
                Query(f"sum by (state) (task_state{{{APPS}}})", "{{state}}"),
                unit=COUNT,
                stacked=True,
                colors=_STATE_COLORS,
            ),
            timeseries(
                "Tasks by health",
                "How many tasks have which health; unknown is a state of its own.",
                Query(
                    f"sum by (status) (task_health_status{{{APPS}}})",
                    "{{status}}",
                    sparse="only tasks with a health check",
                ),
                unit=COUNT,
                stacked=True,
                colors=_HEALTH_COLORS,
            ),
            timeseries(
                "Restarts by app",
                "Starts of tasks beyond their first.",
                Query(
                    f"sum by (app) (increase(container_restarts_total{{{APPS}}}[$__rate_interval]))",
                    "{{app}}",
                ),
                unit=COUNT,
                bars=True,
                stacked=True,
                links=(TO_APP,),
            ),
            table(
                "All tasks",
                "Every task with what it uses now; a click leads to its graphs and logs.",
                (
                    "CPU",
                    CORES,
                    Query(
                        f"sum by ({_BY}) (rate(container_cpu_usage_seconds_total{{{APPS}}}"
                        "[$__rate_interval]))",
                        instant=True,
                    ),
                ),
                (
                    "Memory",
                    BYTES,
                    Query(
                        f"sum by ({_BY}) (container_memory_working_set_bytes{{{APPS}}})",
                        instant=True,
                    ),
                ),
                (
                    "Restarts",
                    COUNT,
                    Query(f"sum by ({_BY}) (container_restarts_total{{{APPS}}})", instant=True),
                ),
                (
                    "",
                    COUNT,
                    Query(
                        f"sum by ({_BY}, state) (task_state{{{APPS}}} == 1)",
                        instant=True,
                    ),
                ),
                by=("app", "task_name", "host", "state"),
                links=(TO_TASK_OF_ROW,),
            ),
        ),
    )


def _resources() -> Row:
    return Row(
        "What tasks use",
        (
            timeseries(
                "CPU, top 10",
                "The ten tasks that use most CPU.",
                Query(
                    f"topk(10, sum by (app, task_name) (rate(container_cpu_usage_seconds_total{{{APPS}}}"
                    "[$__rate_interval])))",
                    "{{task_name}}",
                ),
                unit=CORES,
                links=(TO_TASK,),
            ),
            timeseries(
                "Memory, top 10",
                "The ten tasks that use most memory (working set).",
                Query(
                    f"topk(10, sum by (app, task_name) (container_memory_working_set_bytes{{{APPS}}}))",
                    "{{task_name}}",
                ),
                unit=BYTES,
                links=(TO_TASK,),
            ),
            timeseries(
                "Memory of its limit, top 10",
                "Working set over the limit; at 100 % the kernel kills.",
                Query(
                    "topk(10, max by (app, task_name) "
                    f"(container_memory_working_set_bytes{{{APPS}}} "
                    f"/ (container_spec_memory_limit_bytes{{{APPS}}} > 0)))",
                    "{{task_name}}",
                    sparse="only tasks with a memory limit",
                ),
                unit=RATIO,
                maximum=1,
                links=(TO_TASK,),
            ),
            timeseries(
                "Network received, top 10",
                "Bytes a second that came in.",
                Query(_top("container_network_receive_bytes_total"), "{{task_name}}"),
                unit=BYTES_PER_SECOND,
                links=(TO_TASK,),
            ),
            timeseries(
                "Network sent, top 10",
                "Bytes a second that went out.",
                Query(_top("container_network_transmit_bytes_total"), "{{task_name}}"),
                unit=BYTES_PER_SECOND,
                links=(TO_TASK,),
            ),
            timeseries(
                "CPU held back, top 10",
                "Part of the CPU quota periods in which the task had to wait for the next one.",
                Query(
                    "topk(10, sum by (app, task_name) "
                    f"(rate(container_cpu_cfs_throttled_periods_total{{{APPS}}}[$__rate_interval])) "
                    "/ sum by (app, task_name) "
                    f"(rate(container_cpu_cfs_periods_total{{{APPS}}}[$__rate_interval])))",
                    "{{task_name}}",
                    sparse="only tasks with a CPU limit",
                ),
                unit=RATIO,
                maximum=1,
                links=(TO_TASK,),
            ),
        ),
    )


def _top(counter: str) -> str:
    return f"topk(10, sum by (app, task_name) (rate({counter}{{{APPS}}}[$__rate_interval])))"


def _logs() -> Row:
    return Row(
        "Logs",
        (
            lines_by_level(
                "Log lines by level", "Lines a second; lines that name no level are none.", APPS
            ),
            timeseries(
                "Errors by app, top 10",
                "Lines of the levels error and fatal a second.",
                Query(
                    'topk(10, sum by (app) (rate(log_lines_total{level=~"error|fatal", '
                    f"{APPS}}}[$__rate_interval])))",
                    "{{app}}",
                    sparse="only apps that log errors",
                ),
                unit=LINES_PER_SECOND,
                links=(TO_APP,),
                width=12,
            ),
            logs("Errors", "The latest errors of all tasks.", f"level:>=error {LOGS_OF_APPS}"),
        ),
    )


def _hosts() -> Row:
    return Row(
        "Hosts",
        (
            timeseries(
                "CPU in use",
                "Part of the host's CPU time that is not idle.",
                Query(
                    "1 - avg by (host) (rate(node_cpu_seconds_total"
                    f'{{mode="idle", {HOSTS}}}[$__rate_interval]))',
                    "{{host}}",
                ),
                unit=RATIO,
                maximum=1,
            ),
            timeseries(
                "Memory in use",
                "Part of the host's memory that new work could not have.",
                Query(
                    f"1 - node_memory_MemAvailable_bytes{{{HOSTS}}} "
                    f"/ node_memory_MemTotal_bytes{{{HOSTS}}}",
                    "{{host}}",
                ),
                unit=RATIO,
                maximum=1,
            ),
            timeseries(
                "Load for each core",
                "Tasks that run or wait to run, over the number of cores; above 1 somebody waits.",
                Query(
                    f"node_load5{{{HOSTS}}} / on (cluster, host) machine_cpu_cores{{{HOSTS}}}",
                    "{{host}}",
                ),
                unit=COUNT,
            ),
            timeseries(
                "Filesystems",
                "Part of each filesystem that is taken.",
                Query(
                    f"1 - node_filesystem_avail_bytes{{{HOSTS}}} "
                    f"/ (node_filesystem_size_bytes{{{HOSTS}}} > 0)",
                    "{{host}} {{mountpoint}}",
                ),
                unit=RATIO,
                maximum=1,
            ),
            timeseries(
                "Disk busy",
                "Part of the time in which a disk had something to do.",
                Query(
                    f"rate(node_disk_io_time_seconds_total{{{HOSTS}}}[$__rate_interval])",
                    "{{host}} {{device}}",
                ),
                unit=RATIO,
                maximum=1,
            ),
            timeseries(
                "Network",
                "Bytes a second over the host's interfaces, both ways.",
                Query(
                    f"sum by (host) (rate(node_network_receive_bytes_total{{{HOSTS}}}[$__rate_interval]))",
                    "{{host}} in",
                ),
                Query(
                    f"sum by (host) (rate(node_network_transmit_bytes_total{{{HOSTS}}}[$__rate_interval]))",
                    "{{host}} out",
                ),
                unit=BYTES_PER_SECOND,
            ),
        ),
    )

"""Taskscope itself: whether it keeps up, and what it costs."""

from dashboards.grafana import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    COUNT,
    GREEN,
    LINES_PER_SECOND,
    PER_SECOND,
    RED,
    SECONDS,
    YELLOW,
    Page,
    Query,
    Row,
    Step,
)
from dashboards.panels import stat, timeseries

_SELF = 'job="taskscope"'


def taskscope() -> Page:
    """Return the dashboard ``taskscope-self``."""
    return Page(
        uid="taskscope-self",
        title="Taskscope / Itself",
        description="Whether Taskscope keeps up with its cluster, what it drops, and what it costs.",
        rows=(_now(), _collecting(), _storing(), _logs(), _alerting()),
    )


def _now() -> Row:
    return Row(
        "Now",
        (
            stat(
                "CPU",
                "Cores that Taskscope uses.",
                Query(f"sum(rate(process_cpu_seconds_total{{{_SELF}}}[$__rate_interval]))"),
                unit=CORES,
            ),
            stat(
                "Memory",
                "Memory that Taskscope has in RAM.",
                Query(f"sum(process_resident_memory_bytes{{{_SELF}}})"),
                unit=BYTES,
            ),
            stat(
                "Series",
                "Series in the store's head.",
                Query("sum(taskscope_storage_series)"),
            ),
            stat(
                "Targets down",
                "Scrape targets that do not answer.",
                Query("count(up == 0) or vector(0)"),
                steps=(Step(None, GREEN), Step(1, YELLOW)),
            ),
            stat(
                "Log lag",
                "Age of the oldest record that is not delivered yet.",
                Query("max(taskscope_logship_lag_seconds) or vector(0)"),
                unit=SECONDS,
                steps=(Step(None, GREEN), Step(60, YELLOW), Step(300, RED)),
            ),
            stat(
                "Failed notifications",
                "Notifications that could not be sent at once, within the time range.",
                Query(
                    "sum(increase(taskscope_alerting_notification_failures_total[$__range])) or vector(0)",
                    instant=True,
                ),
                steps=(Step(None, GREEN), Step(1, RED)),
            ),
        ),
    )


def _collecting() -> Row:
    return Row(
        "Collecting",
        (
            timeseries(
                "Time to read each source",
                "How long reading all containers, the node and Taskscope's own metrics took.",
                Query("max by (source) (taskscope_collector_duration_seconds)", "{{source}}"),
                unit=SECONDS,
            ),
            timeseries(
                "Scrape duration by job",
                "The slowest target of each job.",
                Query(
                    "max by (job) (scrape_duration_seconds)",
                    "{{job}}",
                    sparse="only where applications are scraped",
                ),
                unit=SECONDS,
            ),
            timeseries(
                "Series by source",
                "Series of the last collection.",
                Query("sum by (source) (taskscope_collector_series)", "{{source}}"),
                unit=COUNT,
                stacked=True,
            ),
            timeseries(
                "CPU by source",
                "Cores that collecting takes.",
                Query(
                    "sum by (source) (rate(taskscope_collector_cpu_seconds_total[$__rate_interval]))",
                    "{{source}}",
                ),
                unit=CORES,
                stacked=True,
            ),
            timeseries(
                "Collecting errors",
                "Things that could not be read, by reason.",
                Query(
                    "sum by (source, reason) (rate(taskscope_collector_errors_total[$__rate_interval]))",
                    "{{source}} {{reason}}",
                    sparse="only where something could not be read",
                ),
                unit=PER_SECOND,
            ),
            timeseries(
                "Scrape failures",
                "Scrapes that failed, by job and reason.",
                Query(
                    "sum by (scrape_job, reason) "
                    "(rate(taskscope_collector_scrape_failures_total[$__rate_interval]))",
                    "{{scrape_job}} {{reason}}",
                    sparse="only where a scrape failed",
                ),
                unit=PER_SECOND,
            ),
        ),
    )


def _storing() -> Row:
    return Row(
        "Storing",
        (
            timeseries(
                "Samples taken",
                "Samples a second that the store took.",
                Query(
                    "sum by (kind) (rate(taskscope_storage_samples_appended_total[$__rate_interval]))",
                    "{{kind}}",
                ),
                unit=PER_SECOND,
                stacked=True,
            ),
            timeseries(
                "Write-ahead log",
                "Bytes that are not in a block yet.",
                Query("sum(taskscope_storage_wal_size_bytes)", "metrics"),
                Query('sum(taskscope_logdb_disk_bytes{kind="wal"})', "logs"),
                unit=BYTES,
            ),
            timeseries(
                "Commit, 99th percentile",
                "How long bringing a group of samples to the log took.",
                Query(
                    "histogram_quantile(0.99, sum by (le) "
                    "(rate(taskscope_storage_commit_duration_seconds_bucket[$__rate_interval])))",
                    "commit",
                ),
                unit=SECONDS,
            ),
            timeseries(
                "On disk",
                "Bytes of blocks and segments.",
                Query("sum(taskscope_storage_block_bytes)", "metrics"),
                Query('sum(taskscope_logdb_disk_bytes{kind="segments"})', "logs"),
                unit=BYTES,
                stacked=True,
            ),
            timeseries(
                "Log search, 90th percentile",
                "How long searches of the embedded log store took.",
                Query(
                    "histogram_quantile(0.9, sum by (le) "
                    "(rate(taskscope_logdb_search_duration_seconds_bucket[$__rate_interval])))",
                    "search",
                    sparse="only where logs are searched",
                ),
                unit=SECONDS,
            ),
            timeseries(
                "Store failures",
                "What the stores could not do at once.",
                Query(
                    "sum by (operation) (rate(taskscope_storage_failures_total[$__rate_interval]))",
                    "metrics {{operation}}",
                    sparse="only where something failed",
                ),
                Query(
                    "sum by (stage) (rate(taskscope_logdb_failures_total[$__rate_interval]))",
                    "logs {{stage}}",
                    sparse="only where something failed",
                ),
                unit=PER_SECOND,
            ),
        ),
    )


def _logs() -> Row:
    return Row(
        "Shipping logs",
        (
            timeseries(
                "Records delivered",
                "Log records a second, by sink.",
                Query(
                    "sum by (sink) (rate(taskscope_logship_sent_records_total[$__rate_interval]))",
                    "{{sink}}",
                ),
                unit=LINES_PER_SECOND,
            ),
            timeseries(
                "Waiting to be delivered",
                "Bytes in log files that no sink has yet.",
                Query("sum(taskscope_logship_lag_bytes)", "waiting"),
                unit=BYTES,
            ),
            timeseries(
                "Records dropped and errors",
                "Records that will not be delivered by reason, and failures that are tried again by stage.",
                Query(
                    "sum by (reason) (rate(taskscope_logship_dropped_records_total[$__rate_interval]))",
                    "dropped: {{reason}}",
                    sparse="only where records were dropped",
                ),
                Query(
                    "sum by (stage) (rate(taskscope_logship_errors_total[$__rate_interval]))",
                    "failed: {{stage}}",
                    sparse="only where something failed",
                ),
                unit=PER_SECOND,
            ),
            timeseries(
                "Bytes read",
                "Bytes of logs a second, of the ten apps that write most.",
                Query(
                    "topk(10, sum by (app) (rate(log_bytes_total[$__rate_interval])))", "{{app}}"
                ),
                unit=BYTES_PER_SECOND,
            ),
        ),
    )


def _alerting() -> Row:
    return Row(
        "Alerting",
        (
            timeseries(
                "Rule evaluation",
                "How long the last evaluation of each group took; it has to stay below the group's interval.",
                Query(
                    "max by (rule_group) (taskscope_alerting_group_duration_seconds)",
                    "{{rule_group}}",
                ),
                unit=SECONDS,
            ),
            timeseries(
                "Since the last evaluation",
                "Age of each group's last evaluation.",
                Query(
                    "time() - max by (rule_group) "
                    "(taskscope_alerting_group_last_evaluation_timestamp_seconds)",
                    "{{rule_group}}",
                ),
                unit=SECONDS,
            ),
            timeseries(
                "Alerts",
                "Alerts that are pending or firing.",
                Query("sum by (state) (taskscope_alerting_alerts)", "{{state}}"),
                unit=COUNT,
                stacked=True,
            ),
        ),
    )

"""Metrics of the alert engine."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "ALERTS", "gauge", "", "1 for each pending or firing alert.", ("alertname", "alertstate")
    ),
    Metric(
        "ALERTS_FOR_STATE",
        "gauge",
        "seconds",
        "Since when the alert has been active, since the epoch.",
        ("alertname",),
    ),
    Metric(
        "taskscope_alerting_group_duration_seconds",
        "gauge",
        "seconds",
        "How long the last evaluation of a rule group took.",
        ("rule_group",),
    ),
    Metric(
        "taskscope_alerting_group_last_evaluation_timestamp_seconds",
        "gauge",
        "seconds",
        "When a rule group was last evaluated.",
        ("rule_group",),
    ),
    Metric(
        "taskscope_alerting_group_missed_total",
        "counter",
        "",
        "Evaluations left out because the one before took too long.",
        ("rule_group",),
    ),
    Metric(
        "taskscope_alerting_rule_failures_total",
        "counter",
        "",
        "Rules that could not be evaluated.",
        ("rule_group",),
    ),
    Metric(
        "taskscope_alerting_notifications_total",
        "counter",
        "",
        "Notifications sent, by receiver.",
        ("receiver",),
    ),
    Metric(
        "taskscope_alerting_notification_failures_total",
        "counter",
        "",
        "Notifications that could not be sent; they are retried.",
        ("receiver",),
    ),
    Metric(
        "taskscope_alerting_group_interval_seconds",
        "gauge",
        "seconds",
        "The interval of a rule group.",
        ("rule_group",),
    ),
    Metric(
        "taskscope_alerting_alerts",
        "gauge",
        "",
        "Alerts by state.",
        ("state",),
    ),
    Metric(
        "taskscope_alerting_state_failures_total",
        "counter",
        "",
        "Failures to keep alert state or the notification log on disk.",
    ),
    Metric(
        "taskscope_alerting_evidence_failures_total",
        "counter",
        "",
        "Notifications that went out without log lines because those could not be read in time.",
    ),
    Metric(
        "taskscope_alerting_heartbeat_healthy",
        "gauge",
        "",
        "1 if samples are fresh and rules run on time, so that the heartbeat goes out.",
    ),
    Metric(
        "taskscope_alerting_heartbeat_last_sent_timestamp_seconds",
        "gauge",
        "seconds",
        "When the last heartbeat was delivered, since the epoch.",
    ),
    Metric(
        "taskscope_alerting_heartbeat_failures_total",
        "counter",
        "",
        "Heartbeats that could not be delivered.",
    ),
)

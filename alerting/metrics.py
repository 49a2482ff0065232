"""What the alert engine says of itself; see ``model.catalog.alerting``."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import declared


class AlertingMetrics:
    """The metrics of rules, notifications and the heartbeat."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str) -> Gauge:
            return Gauge(*declared(f"taskscope_alerting_{name}"), registry=registry)

        def counter(name: str) -> Counter:
            return Counter(*declared(f"taskscope_alerting_{name}"), registry=registry)

        self.group_duration = gauge("group_duration_seconds")
        self.group_last_evaluation = gauge("group_last_evaluation_timestamp_seconds")
        self.group_interval = gauge("group_interval_seconds")
        self.group_missed = counter("group_missed_total")
        self.rule_failures = counter("rule_failures_total")
        self.state_failures = counter("state_failures_total")
        self.alerts = gauge("alerts")
        self.notifications = counter("notifications_total")
        self.notification_failures = counter("notification_failures_total")
        self.evidence_failures = counter("evidence_failures_total")
        self.heartbeat_healthy = gauge("heartbeat_healthy")
        self.heartbeat_last_sent = gauge("heartbeat_last_sent_timestamp_seconds")
        self.heartbeat_failures = counter("heartbeat_failures_total")

    def know_group(self, key: str, interval_seconds: float) -> None:
        """Show a rule group; its counters start at 0, so that their first increase is seen as one."""
        self.group_interval.labels(key).set(interval_seconds)
        self.group_missed.labels(key)
        self.rule_failures.labels(key)

    def know_receiver(self, name: str) -> None:
        """Show a receiver; see ``know_group``."""
        self.notifications.labels(name)
        self.notification_failures.labels(name)

    def forget_group(self, key: str) -> None:
        """Remove the series of a rule group that is gone."""
        for metric in (
            self.group_duration,
            self.group_last_evaluation,
            self.group_interval,
            self.group_missed,
            self.rule_failures,
        ):
            metric.remove_by_labels({"rule_group": key})

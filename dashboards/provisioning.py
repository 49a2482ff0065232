"""Grafana's provisioning files: where its data comes from and where it finds the dashboards."""

from typing import Any, Final

METRICS_UID: Final = "taskscope-metrics"
LOGS_UID: Final = "taskscope-logs"


def datasources(metrics_url: str, logs_url: str, interval_seconds: int) -> dict[str, Any]:
    """Return ``datasources/taskscope.yaml``; uids are stable, so that nothing breaks when it is written anew."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Taskscope",
                "type": "prometheus",
                "uid": METRICS_UID,
                "access": "proxy",
                "url": metrics_url,
                "isDefault": True,
                "editable": False,
                "jsonData": {"httpMethod": "POST", "timeInterval": f"{interval_seconds}s"},
            },
            {
                "name": "Taskscope logs",
                "type": "elasticsearch",
                "uid": LOGS_UID,
                "access": "proxy",
                "url": logs_url,
                "editable": False,
                "jsonData": {
                    "index": "logs-*",
                    "timeField": "@timestamp",
                    "logMessageField": "message",
                    "logLevelField": "log.level",
                    "maxConcurrentShardRequests": 5,
                },
            },
        ],
    }


def providers(path: str) -> dict[str, Any]:
    """Return ``dashboards/taskscope.yaml``, which has Grafana read the dashboards from a directory."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "taskscope",
                "folder": "Taskscope",
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": path},
            }
        ],
    }

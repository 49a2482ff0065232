"""Writing the dashboards and Grafana's provisioning files."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from dashboards.grafana import render
from dashboards.provisioning import datasources, providers
from dashboards.registry import DASHBOARDS

METRICS_URL: Final = "http://127.0.0.1:9800"
LOGS_URL: Final = "http://127.0.0.1:9200"
_HEAD: Final = "# Written by `taskscope dashboards build`; it is written anew each time.\n"


def build(
    directory: Path,
    *,
    metrics_url: str = METRICS_URL,
    logs_url: str = LOGS_URL,
    interval_seconds: int = 15,
) -> list[Path]:
    """Write everything that Grafana needs and return the files' paths.

    ``<directory>/dashboards/*.json`` are the dashboards; ``<directory>/provisioning`` is what
    Grafana's ``GF_PATHS_PROVISIONING`` should point at.

    Args:
        directory: Made if it is not there; files of the same names are replaced.
        metrics_url: Where Grafana reaches Taskscope, or any server with Prometheus's API.
        logs_url: Where Grafana reaches Elasticsearch.
        interval_seconds: How often series have samples, so that Grafana chooses steps to fit.
    """
    written = []
    for page in DASHBOARDS:
        dashboard = render(page())
        path = directory / "dashboards" / f"{dashboard['uid']}.json"
        _write(path, json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n")
        written.append(path)
    provisioning = {
        "datasources": datasources(metrics_url, logs_url, interval_seconds),
        "dashboards": providers(str((directory / "dashboards").resolve())),
    }
    for name, content in provisioning.items():
        path = directory / "provisioning" / name / "taskscope.yaml"
        _write(path, _HEAD + _yaml(content))
        written.append(path)
    return written


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _yaml(content: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text

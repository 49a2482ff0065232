"""A real Prometheus scrapes Taskscope's own metrics and sends them on to it."""

import time
from pathlib import Path

import pytest

from tests.web.peers import Peer, prometheus, taskscope

pytestmark = [pytest.mark.peer, pytest.mark.slow]

COUNTED = 'count_over_time(taskscope_web_requests_total{job="watched",handler="/metrics"}[1m])'
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: watched
  static_configs: [{{targets: ["{host}"]}}]
remote_write:
- url: {url}/api/v1/write
  queue_config: {{batch_send_deadline: 200ms}}
  metadata_config: {{send_interval: 1s}}
"""


def test_what_prometheus_scrapes_and_sends_is_what_it_has(tmp_path: Path) -> None:
    """Samples, stale markers excepted, are equal on both sides; metadata comes along."""
    with taskscope(tmp_path, config="alerting: {shipped_rules: false}\n") as ours:
        config = CONFIG.format(host=ours.url.removeprefix("http://"), url=ours.url)
        with prometheus(tmp_path, config=config) as theirs:
            theirs.wait(lambda: value(theirs, COUNTED) >= 4)
            until = round(time.time() - 1)
            arrived = f'timestamp(up{{job="watched"}}) >= {until}'
            ours.wait(lambda: value(ours, arrived) > 0)
            queries = (
                'sum by (handler) (taskscope_web_requests_total{job="watched"})',
                'taskscope_storage_samples_appended_total{job="watched"}',
                'up{job="watched"}',
            )
            for query in queries:
                asked = {"query": query, "start": until - 3, "end": until, "step": 1}
                sent, kept = (peer.ask("query_range", asked).json() for peer in (theirs, ours))

                assert sent["data"]["result"] != []
                assert kept["data"] == sent["data"]
            asked = {"metric": "taskscope_web_requests_total"}
            ours.wait(lambda: bool(ours.ask("metadata", asked).json()["data"]))

            assert ours.ask("metadata", asked).json() == theirs.ask("metadata", asked).json()


def value(peer: Peer, query: str) -> float:
    """Return the value of a query's only series, 0 if there is none."""
    found = peer.ask("query", {"query": query}).json()["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0

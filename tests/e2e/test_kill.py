"""Taskscope killed at random moments, Elasticsearch away: each line is there once, in both stores."""

import contextlib
import json
import random
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cut import Cut
from tests.e2e.stack import ROOT, Stack, eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.elasticsearch,
    pytest.mark.timeout(600),
]

SEED = int.from_bytes(secrets.token_bytes(4), "big")
# numbered lines at about 500 a second; the last one says how many there are
WRITER = """
import sys, time
end, n = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    for _ in range(10):
        n += 1
        print(f'{{"level":"info","message":"line {n} of the ledger","n":{n}}}')
    sys.stdout.flush()
    time.sleep(0.02)
print(f"written {n}", flush=True)
time.sleep(1)
"""


@pytest.fixture
def namespace(elasticsearch_url: str) -> Iterator[str]:
    """Return a fresh data stream namespace; its streams are deleted at the end."""
    name = f"kill{secrets.token_hex(3)}"
    yield name
    for stream in (f"logs-task-{name}", f"logs-task.event-{name}"):
        request = urllib.request.Request(
            f"{elasticsearch_url}/_data_stream/{stream}", method="DELETE"
        )
        with contextlib.suppress(urllib.error.HTTPError):  # 404: it never came into being
            urllib.request.urlopen(request, timeout=30).close()


def elastic_lines(url: str, namespace: str) -> Counter[int]:
    """Count each line number in Elasticsearch, by paging over everything."""
    urllib.request.urlopen(
        urllib.request.Request(f"{url}/logs-task-{namespace}/_refresh", method="POST"), timeout=30
    ).close()
    counts: Counter[int] = Counter()
    after: list[Any] = []
    while True:
        body: dict[str, Any] = {
            "size": 5000,
            "sort": ["log.offset", "@timestamp"],
            "_source": ["message"],
            "query": {"match_all": {}},
        }
        if after:
            body["search_after"] = after
        request = urllib.request.Request(
            f"{url}/logs-task-{namespace}/_search",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        hits = json.load(urllib.request.urlopen(request, timeout=60))["hits"]["hits"]
        if not hits:
            return counts
        after = hits[-1]["sort"]
        counts.update(numbers(hit["_source"]["message"] for hit in hits))


def embedded_lines(stack: Stack) -> Counter[int]:
    """Count each line number in the embedded store."""
    counts: Counter[int] = Counter()
    cursor = ""
    while True:
        page = stack.get(
            "/api/logs/search",
            query='task_name:ledger "of the ledger"',
            limit=5000,
            direction="forward",
            cursor=cursor,
        )
        counts.update(numbers(r["document"]["message"] for r in page["records"]))
        cursor = page["cursor"]
        if not cursor or not page["records"]:
            return counts


def numbers(messages: Iterator[str] | Any) -> Iterator[int]:
    """Yield the line numbers in messages."""
    for message in messages:
        if found := re.search(r"line (\d+) of the ledger", message):
            yield int(found[1])


@pytest.mark.parametrize(
    ("kills", "away_seconds"), [(5, 10), pytest.param(20, 60, marks=pytest.mark.long)]
)
def test_each_line_is_there_once(
    tmp_path: Path, namespace: str, elasticsearch_url: str, kills: int, away_seconds: int
) -> None:
    """Kills, a while without Elasticsearch, one task that writes all the time."""
    chance = random.Random(SEED)
    far = int(elasticsearch_url.rsplit(":", 1)[1])
    with Cut(far) as proxy:
        config = tmp_path / "taskscope.yml"
        config.write_text(
            "discovery: {docker: {enabled: false}}\n"
            "logship: {sinks: [{type: embedded}, {type: elasticsearch, "
            f"endpoints: ['http://127.0.0.1:{proxy.port}'], namespace: {namespace}}}]}}\n"
        )
        stack = Stack(tmp_path, "--config", str(config))
        stack.start()
        seconds = kills * 2.5 + away_seconds
        task = subprocess.Popen(
            [sys.executable, "-m", "taskscope", "run", "--name", "ledger", "--data-dir", str(tmp_path), "--",
             sys.executable, "-c", WRITER, str(seconds)],
            cwd=ROOT, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            for _ in range(kills):
                time.sleep(chance.uniform(0.05, 2.0))
                stack.stop(signal.SIGKILL)
                stack.start()
            proxy.cut()
            time.sleep(away_seconds)
            proxy.mend()
            task.wait(seconds)
            last = eventually(
                "the last line", lambda: stack.logs("task_name:ledger written", 1), 60
            )
            total = int(last[0].split()[-1])
            wanted = Counter(range(1, total + 1))

            eventually(
                "Elasticsearch has caught up",
                lambda: len(elastic_lines(elasticsearch_url, namespace)) >= total,
                90,
            )
            assert embedded_lines(stack) == wanted, f"seed {SEED}"
            assert elastic_lines(elasticsearch_url, namespace) == wanted, f"seed {SEED}"
        finally:
            task.kill()
            stack.stop()

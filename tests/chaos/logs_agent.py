"""The agent that the chaos of logs kills: the real shipper with the real Elasticsearch sink.

Argument: a JSON file with ``state``, ``url``, ``namespace``, ``tasks`` (name, form and path of each), ``files`` (likewise, for those that are links), ``events`` (a ledger, "" for none), ``seed`` and ``die``
(``place:n``: it kills itself when it reaches that failpoint for the n-th time). Prints ``ready``.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from logship.events import EventLog
from logship.shipper import Settings, Shipper
from logship.sink.elasticsearch.client import Connection
from logship.sink.elasticsearch.sink import ElasticsearchSink
from logship.source.globs import FileSource
from model.task import Task
from storage import failpoint
from tests.chaos.events import write
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import RealClock
from tests.storage.tsdb.crash_writer import die_at

SETTINGS = Settings(
    buffer_bytes=1 << 20,
    request_timeout_seconds=3.0,
    checkpoint_interval_seconds=0.3,
    poll_interval_seconds=0.05,
    docker_socket="",
)


def task(name: str, form: str, path: str) -> Task:
    """Return the task that writes a file: a container's log, or the sandbox that the file stands in."""
    if form.startswith("docker"):
        return make_task(name, log_path=path, log_driver="json-file")
    return make_task(name, sandbox=str(Path(path).parent))


def followed(tasks: list[dict[str, str]]) -> Settings:
    """Return the settings: the link and what it points to match the pattern, and shall not come twice."""
    files = tuple(FileSource((t["path"] + "*",), app=t["name"], wrapping="none") for t in tasks)
    return replace(SETTINGS, files=files)


def main(how: dict[str, Any]) -> None:
    """Ship until killed, or until the input ends; then stop in good order."""
    if how["die"]:
        place, _, times = how["die"].partition(":")
        failpoint.arm(die_at(place, int(times)))
    sink = ElasticsearchSink(Connection((how["url"],)), namespace=how["namespace"])
    tasks = FakeTaskSource(*(task(**one) for one in how["tasks"]))
    settings = followed(how["files"])
    state, end = Path(how["state"]), threading.Event()
    log = EventLog(state / "events", RealClock())
    shipper = Shipper(
        tasks, [sink], state, settings, RealClock(), CollectorRegistry(), spools=[log.spool]
    )
    shipper.start()
    writer = threading.Thread(target=write, args=(log, Path(how["events"]), how["seed"], end))
    if how["events"]:
        writer.start()
    print("ready", flush=True)
    sys.stdin.read()
    end.set()
    if how["events"]:
        writer.join()
    shipper.stop()
    log.close()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

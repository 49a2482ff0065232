"""Limits, log metrics and declared fields hold for what comes over sockets as for files."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from configfile.pattern import compile_pattern
from logship.derive.log_metric import LogMetric
from logship.limits.limit import Limit
from logship.match import TaskMatch
from logship.policy import Policy
from logship.shipper import Shipper
from logship.source.forward.server import ForwardServer, ForwardSettings
from logship.source.inbox import Inbox
from logship.source.owners import Owners
from logship.spool.spool import Spool
from model.labels import METRIC_NAME
from tests.fakes.tasks import FakeTaskSource
from tests.logship.forward.receiving import Client, packed
from tests.logship.harness import QUICK, REDACTOR, RealClock, until
from tests.logship.recording import RecordingSink


def test_policy_holds_for_lines_over_sockets(tmp_path: Path) -> None:
    """By the application that each record is of, and two sinks leave out the same."""
    noisy = Limit(TaskMatch.of({"app": "noisy"}), lines_per_second=10, burst=10)
    paid = LogMetric(
        "orders_paid_total", is_histogram=False, match=TaskMatch(), pattern=compile_pattern("paid")
    )
    policy = Policy(limits=(noisy,), metrics=(paid,), fields={"cents": "long"})
    sinks = RecordingSink("one"), RecordingSink("two")
    clock, tasks = RealClock(), FakeTaskSource()
    spool = Spool(tmp_path / "spool", disk_bytes=64 << 20)
    ship = Shipper(tasks, sinks, tmp_path / "state", QUICK, clock, CollectorRegistry(), spools=[spool], policy=policy)  # fmt: skip
    owners = Owners(tasks, "forward", cluster="test", host="host-1")
    inbox = Inbox("forward", spool, owners, REDACTOR, clock, ship.metrics, dataset="task", policy=policy)  # fmt: skip
    server = ForwardServer(ForwardSettings(port=0), inbox, ship.metrics)
    ship.start()
    server.start()
    with Client(server.port) as client:
        for app in ("noisy", "quiet"):
            records = [{"message": f"{app} paid {n}", "cents": n} for n in range(100)]
            assert client.ask([app, packed(*records), {"chunk": app}]) == {"ack": app}
    arrived = until(lambda: all(len(sink.records) == 110 for sink in sinks))
    series = {
        (labels[METRIC_NAME], labels["app"], labels.get("reason", "")): float(value)
        for block in ship.collect(0) for labels, value in zip(map(dict, block.labels), block.values, strict=True)
        if labels[METRIC_NAME] in ("orders_paid_total", "log_lines_dropped_total")
    }  # fmt: skip
    server.stop()
    ship.stop()
    spool.close()

    assert arrived
    assert sinks[0].texts == sinks[1].texts
    quiet = [float(cents) for b in sinks[0].batches if b.identity.app == "quiet" for cents in b.numbers["cents"]]  # fmt: skip
    assert quiet == list(range(100))
    assert sum(text.startswith("noisy") for text in sinks[0].texts) == 10
    assert series["orders_paid_total", "noisy", ""] == 100
    assert series["orders_paid_total", "quiet", ""] == 100
    assert series["log_lines_dropped_total", "noisy", "rate"] == 90
    assert not any(name == "log_lines_dropped_total" and app == "quiet" for name, app, _ in series)

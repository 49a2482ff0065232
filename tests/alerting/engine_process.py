"""A whole alert engine as a process that a test can kill: rules, state, dispatch, webhook.

The expression holds while the file ``truth`` has text. Each change of the alert is printed.
"""

import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from alerting.dispatcher import Dispatcher
from alerting.manager import RuleManager
from alerting.metrics import AlertingMetrics
from alerting.receiver.webhook import WebhookReceiver
from alerting.rule import RuleGroup, Vector
from tests.alerting.helpers import alerting_rule, words
from tests.alerting.hook import WallClock
from tests.fakes.store import MemoryStore


def main(directory: str, url: str, for_seconds: str, hold_seconds: str) -> None:
    """Run until killed."""
    home = Path(directory)
    metrics = AlertingMetrics(CollectorRegistry())

    def evaluate(expr: str, ts_ms: int) -> Vector:
        return words((home / "truth").read_text())

    dispatcher = Dispatcher(
        [WebhookReceiver("hook", url)],
        state_dir=home / "state",
        clock=WallClock(),
        metrics=metrics,
        group_wait_seconds=0.05,
        group_interval_seconds=0.1,
        repeat_interval_seconds=3600,
    )
    manager = RuleManager(
        lambda: [RuleGroup("g", "f", 100, (alerting_rule(for_seconds=float(for_seconds)),))],
        evaluate=evaluate,
        appender=MemoryStore(),
        send=dispatcher.put,
        state_dir=home / "state",
        clock=WallClock(),
        metrics=metrics,
        resend_delay_seconds=0.2,
        restore_hold_seconds=float(hold_seconds),
    )
    dispatcher.start()
    manager.start()
    print("ready", flush=True)
    last = ""
    while True:
        now = " ".join(f"{a.state.value} {a.active_ms} {a.fired_ms}" for a in manager.alerts())
        if now != last:
            last = now
            print(now or "none", flush=True)
        time.sleep(0.005)


if __name__ == "__main__":
    main(*sys.argv[1:])

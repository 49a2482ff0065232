"""The process that ``test_crash`` kills: takes forward messages and ships them into a file of ids.

Arguments: state directory, port, file to record into.
"""

import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from logship.shipper import Settings, Shipper
from logship.source.forward.server import ForwardServer, ForwardSettings
from logship.source.inbox import Inbox
from logship.source.owners import Owners
from logship.spool.spool import Spool
from tests.fakes.tasks import FakeTaskSource
from tests.logship.crash_child import FileSink
from tests.logship.harness import REDACTOR, RealClock, until


def main() -> None:
    """Serve until killed."""
    state, port, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    tasks, clock = FakeTaskSource(), RealClock()
    spool = Spool(state / "spool", disk_bytes=8 << 20, segment_bytes=20_000)
    settings = Settings(poll_interval_seconds=0.01, checkpoint_interval_seconds=0.02, docker_socket="")  # fmt: skip
    ship = Shipper(tasks, [FileSink(out)], state / "ship", settings, clock, CollectorRegistry(), spools=[spool])  # fmt: skip
    owners = Owners(tasks, "forward", cluster="test", host="host-1")
    inbox = Inbox("forward", spool, owners, REDACTOR, clock, ship.metrics, dataset="task")
    ship.start()
    ForwardServer(ForwardSettings(port=port), inbox, ship.metrics).start()
    until(lambda: False, 120)


if __name__ == "__main__":
    main()

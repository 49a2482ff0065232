"""The process that ``test_crash`` kills: ships a sandbox and a json-file log into a file of ids.

Arguments: state directory, sandbox, json-file log, file to record into. Each delivery is one
``write`` of whole lines, then fsync: what is in the file was acknowledged.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from logship import ecs
from logship.shipper import Settings
from model.log import Delivery, LogBatch
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import shipper, until


class FileSink:
    """Appends ``id<TAB>message`` lines; knows ids it has seen, as a data stream does."""

    name = "file"

    def __init__(self, path: Path) -> None:
        whole = path.read_bytes() if path.exists() else b""
        whole = whole[: whole.rfind(b"\n") + 1]
        self._known = {line.split(b"\t")[0] for line in whole.splitlines()}
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.ftruncate(self._file, len(whole))
        os.lseek(self._file, 0, os.SEEK_END)

    def check(self, timeout_seconds: float) -> None:
        """A file is always there."""

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        lines, deliveries = [], []
        for batch in batches:
            status = np.full(len(batch), 201, dtype=np.int16)
            for row, offset in enumerate(batch.offsets.tolist()):
                key = ecs.document_id(batch.source_id, offset).encode()
                if key in self._known:
                    status[row] = 409
                    continue
                self._known.add(key)
                lines.append(key + b"\t" + batch.text(row).replace("\n", "|").encode() + b"\n")
            deliveries.append(Delivery(status))
        data = b"".join(lines)
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)
        return deliveries

    def close(self) -> None:
        """The kernel closes it."""


def main() -> None:
    """Ship until killed."""
    state, sandbox, log, out = map(Path, sys.argv[1:])
    tasks = FakeTaskSource(
        make_task("plain", sandbox=str(sandbox)),
        make_task("docker", log_path=str(log), log_driver="json-file"),
    )
    settings = Settings(
        poll_interval_seconds=0.01, checkpoint_interval_seconds=0.02, docker_socket=""
    )
    ship = shipper(tasks, state, FileSink(out), settings=settings)
    ship.start()
    until(lambda: False, 60)


if __name__ == "__main__":
    main()

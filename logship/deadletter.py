"""Records that a sink will never take: JSON lines with the reason, for people to look at and replay."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from logship import ecs
from model.log import LogBatch
from storage.files import rotate

FILE_BYTES_MAX: Final = 32 << 20
KEPT_FILES: Final = 3


class DeadLetters:
    """Appends to ``dead-letters-<sink>.jsonl`` in a directory; rotates by size, oldest dropped.

    Each line: ``at_ns, sink, status, reason, attempts, index, id, document`` (the whole redacted record).
    """

    def __init__(self, directory: Path, sink: str) -> None:
        self.path = directory / f"dead-letters-{sink}.jsonl"
        self._sink = sink
        self._lock = threading.Lock()

    def put(self, batch: LogBatch, reasons: Mapping[int, str], *, attempts: int, at_ns: int) -> None:  # fmt: skip
        """Write all records of a batch.

        Raises:
            OSError: If the file cannot be written.
        """
        lines = []
        for row, document in enumerate(ecs.documents(batch)):
            entry = {
                "at_ns": at_ns,
                "sink": self._sink,
                "reason": reasons.get(row, ""),
                "attempts": attempts,
                "dataset": batch.dataset,
                "source_id": batch.source_id,
                "id": ecs.document_id(batch.source_id, int(batch.offsets[row])),
                "document": orjson.Fragment(document),
            }
            lines.append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        with self._lock:
            rotate(self.path, KEPT_FILES, at_bytes=FILE_BYTES_MAX)
            with self.path.open("ab") as file:
                file.write(b"".join(lines))

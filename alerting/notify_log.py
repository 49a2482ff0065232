"""What each receiver was told of each group, on disk: a restart neither repeats nor loses a notification."""

import logging
import os
import threading
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

from alerting import state_file
from alerting.notification import Reason
from storage.files import sync_path

_log = logging.getLogger(__name__)
_KIND: Final = "taskscope-notifications"
_VERSION: Final = 1
_COMPACT_AFTER: Final = 10_000  # appended records
_RETENTION_MS: Final = 5 * 86_400_000


class Entry(Struct, frozen=True):
    """The last successful notification of a group to a receiver: when, and which alerts by fingerprint."""

    at_ms: int
    firing: frozenset[str]
    resolved: frozenset[str]


def reason_to_notify(
    entry: Entry | None,
    firing: Collection[str],
    resolved: Collection[str],
    now_ms: int,
    repeat_interval_ms: int,
) -> Reason | None:
    """Say why a receiver should hear of a group now, or None (Alertmanager's notify.DedupStage)."""
    if entry is None:
        return Reason.FIRST if firing else None
    if not entry.firing.issuperset(firing):
        return Reason.NEW_ALERTS
    if not firing:
        return Reason.RESOLVED if entry.firing else None
    if not entry.resolved.issuperset(resolved):
        return Reason.RESOLVED
    return Reason.REPEAT if entry.at_ms + repeat_interval_ms <= now_ms else None


class NotifyLog:
    """Entries by (group key, receiver): a compacted file, and an append-only one for what came after."""

    def __init__(self, directory: Path, repeat_interval_ms: int) -> None:
        self._directory = directory
        self._base = directory / "notifications.state"
        self._tail = directory / "notifications.log"
        self._retention_ms = max(_RETENTION_MS, 2 * repeat_interval_ms)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._lock = threading.Lock()  # of the entries; never held while the disk is waited for
        self._file_lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._appended = 0
        self._open = False

    def open(self, now_ms: int) -> None:
        """Read what is there; a torn last record is left out.

        A disk that takes nothing now is tried again with each entry.

        Raises:
            OSError: If the directory cannot be made or read.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        body = state_file.read(self._base, _KIND, _VERSION)
        for record in msgspec.json.decode(body) if body else ():
            self._take(record)
        if self._tail.exists():
            for line in self._tail.read_bytes().split(b"\n"):
                record = _unframe(line)
                if record is not None:
                    self._take(record)
                elif line:
                    _log.warning("%s: a damaged record was left out", self._tail)
        try:
            self._compact(now_ms)
        except OSError as error:
            _log.error("the notification log cannot be written: %s", error)
        self._open = True

    def close(self) -> None:
        """Close the file; safe twice."""
        with self._file_lock:
            self._open = False
            if self._file is not None:
                self._file.close()
                self._file = None

    def get(self, group_key: str, receiver: str) -> Entry | None:
        """Return what a receiver was last told of a group."""
        with self._lock:
            return self._entries.get((group_key, receiver))

    def put(self, group_key: str, receiver: str, entry: Entry) -> None:
        """Keep what a receiver was just told; on disk when this returns.

        Raises:
            OSError: If it cannot be written; it is remembered in memory all the same.
        """
        with self._lock:
            self._entries[group_key, receiver] = entry
        with self._file_lock:
            if not self._open:
                return
            if self._file is None:
                self._compact(entry.at_ms)
                return
            self._file.write(_frame(_plain((group_key, receiver), entry)))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._appended += 1
            if self._appended >= _COMPACT_AFTER:
                self._compact(entry.at_ms)

    def _take(self, record: list[Any]) -> None:
        group_key, receiver, at_ms, firing, resolved = record
        self._entries[group_key, receiver] = Entry(at_ms, frozenset(firing), frozenset(resolved))

    def _compact(self, now_ms: int) -> None:
        oldest = now_ms - self._retention_ms
        with self._lock:
            self._entries = {key: e for key, e in self._entries.items() if e.at_ms >= oldest}
            records = [_plain(key, e) for key, e in self._entries.items()]
        body = msgspec.json.encode(records)
        state_file.write(self._base, _KIND, _VERSION, body)
        if self._file is not None:
            self._file.close()
        self._file = self._tail.open("wb")
        os.fsync(self._file.fileno())
        sync_path(self._directory)
        self._appended = 0


def _plain(key: tuple[str, str], entry: Entry) -> list[Any]:
    return [*key, entry.at_ms, sorted(entry.firing), sorted(entry.resolved)]


def _frame(record: list[Any]) -> bytes:
    body = msgspec.json.encode(record)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _unframe(line: bytes) -> list[Any] | None:
    checksum, _, body = line.partition(b" ")
    if not body or checksum != b"%08x" % zlib.crc32(body):
        return None
    record: list[Any] = msgspec.json.decode(body)
    return record

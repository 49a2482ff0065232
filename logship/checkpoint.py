"""How far each sink has got in each source: a versioned file of records, each with its checksum.

What changed is appended and synced; when that has become too much, the file is written anew beside
its place and renamed, and the one before is kept as ``checkpoint.previous``. A damaged record costs
that record only: what the file before said of its source holds then. Positions that are too old
cost duplicates, which document ids make harmless. A damaged file is copied aside, never lost.
"""

import logging
import os
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from storage.failpoint import reach
from storage.files import place, replace_file

FORMAT: Final = 2
NAME: Final = "checkpoint"
SLACK_BYTES: Final = 256 << 10  # appended before the file is written anew, at least
_MAGIC: Final = b"taskscope-logship"
_RECORD: Final = re.compile(rb"([0-9a-f]{6}) ([0-9a-f]{8}) ")
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, omit_defaults=True):
    """One source: a file, or a container's stream through the runtime's API.

    Attributes:
        key: The stream it belongs to (container or run directory, and file name without ``.N``).
        source_id: Its identity in document ids.
        inode: 0 for sources that are no files.
        device: See inode.
        fingerprint: Of the first line.
        positions: By sink, where it goes on.
        seen_s: When it was last there, seconds since the epoch.
        generation: How often the inode was truncated, or came back as another file.
        mark: Hash of the bytes before ``mark_at``: a file that has others there is another file.
        mark_at: See mark.
        ended: The file was seen to be gone, all delivered; a copy of it may still turn up.
    """

    key: str
    source_id: str
    inode: int = 0
    device: int = 0
    fingerprint: str = ""
    positions: dict[str, int] = msgspec.field(default_factory=dict)
    seen_s: int = 0
    generation: int = 0
    mark: str = ""
    mark_at: int = 0
    ended: bool = False

    @property
    def furthest(self) -> int:
        """Up to where some sink has it."""
        return max(self.positions.values(), default=0)


class _Version1(msgspec.Struct):
    format: int
    entries: list[Entry]


class Loaded(Struct, frozen=True):
    """What was found at start; ``warnings`` are sentences for people."""

    entries: list[Entry]
    warnings: list[str]


class CheckpointFile:
    """Reads and writes the file; one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._previous = directory / f"{NAME}.previous"
        self._descriptor = -1  # -1: the next save writes the file anew
        self._appended = self._whole = 0

    def load(self) -> Loaded:
        """Return the entries; never raises for what the files hold."""
        warnings: list[str] = []
        entries: dict[str, Entry] = {}
        for path in (self._path, self._previous):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                warnings.append(f"the log checkpoint {path} cannot be read ({error.strerror}); the one before it is used")  # fmt: skip
                continue
            found, damage = _decode(data)
            entries = {entry.source_id: entry for entry in found} | entries
            if not damage:
                break
            warnings.append(self._set_aside(path, data, damage))
        for warning in warnings:
            _log.warning(warning)
        return Loaded(list(entries.values()), warnings)

    def _set_aside(self, path: Path, data: bytes, damage: str) -> str:
        aside = path.with_name(f"{path.name}.bad")
        try:
            replace_file(aside, data, mode=0o600)
        except OSError:
            aside = path
        return f"the log checkpoint {path} is damaged ({damage}); it is kept as {aside}, and what it does not say is taken from the one before it"  # fmt: skip

    def save(
        self, changed: Sequence[Entry], gone: Sequence[str], entries: Callable[[], list[Entry]]
    ) -> None:
        """Write durably what changed since the last save that worked.

        Args:
            changed: Sources that are new or have moved.
            gone: Ids of sources that nobody needs to know of any more.
            entries: Gives all sources, should the file be written anew.

        Raises:
            OSError: If it cannot be written; the file before is there, under one of its two names.
        """
        if self._descriptor < 0 or self._appended > max(SLACK_BYTES, self._whole):
            self.rewrite(entries())
            return
        data = b"".join(map(_record, changed)) + b"".join(map(_record, gone))
        descriptor, self._descriptor = self._descriptor, -1
        reach("checkpoint.before_append")
        try:
            rest = b"\n" + data  # whatever stands before it, a record starts a line
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            reach("checkpoint.appended")
            os.fdatasync(descriptor)
            reach("checkpoint.synced")
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._appended += len(data)

    def rewrite(self, entries: Sequence[Entry]) -> None:
        """Write the file anew.

        Raises:
            OSError: As ``save``.
        """
        self.close()
        data = b"%b %d %d\n" % (_MAGIC, FORMAT, len(entries)) + b"".join(map(_record, entries))

        def write(temporary: Path) -> None:
            temporary.touch(0o600)
            temporary.write_bytes(data)
            reach("checkpoint.written")
            if self._path.exists():
                self._path.replace(self._previous)
                reach("checkpoint.aside")

        place(self._path, write)
        reach("checkpoint.placed")
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._appended, self._whole = 0, len(data)

    def close(self) -> None:
        """Let go of the file; safe twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _record(value: Entry | str) -> bytes:
    body = msgspec.json.encode(value)
    return b"%06x %08x %b\n" % (len(body), zlib.crc32(body), body)


def _decode(data: bytes) -> tuple[list[Entry], str]:
    """Return the entries of a file, and what is wrong with it ("" if nothing)."""
    head, _, body = data.partition(b"\n")
    words = head.split()
    if words[:2] == [_MAGIC, b"1"] and words[2:] == [b"%08x" % zlib.crc32(body)]:
        try:
            return msgspec.json.decode(body, type=_Version1).entries, ""
        except msgspec.MsgspecError as error:
            return [], str(error)
    named = words[:1] == [_MAGIC] and len(words) == 3 and all(map(bytes.isdigit, words[1:]))
    entries: dict[str, Entry] = {}
    records, broken = _records(body, entries)
    if named and int(words[1]) != FORMAT and not records:
        return [], f"its format is {int(words[1])}, this Taskscope knows {FORMAT}"
    if not named:
        broken += 1
    elif records + broken < int(words[2]):
        broken = int(words[2]) - records
    return list(entries.values()), f"{broken} of its records" if broken else ""


def _records(data: bytes, entries: dict[str, Entry]) -> tuple[int, int]:
    """Add the entries of records, the later ones in place of the earlier; return how many are good and how many not."""
    at = good = broken = 0
    while at < len(data):
        if data[at : at + 1] == b"\n":
            at += 1
            continue
        found = _RECORD.match(data, at)
        value = _value(data, found) if found else None
        if found and value is not None:
            good += 1
            at = found.end() + int(found[1], 16) + 1
            if isinstance(value, str):
                entries.pop(value, None)
            else:
                entries[value.source_id] = value
            continue
        broken += 1
        end = data.find(b"\n", at)
        at = end + 1 if end >= 0 else len(data)
    return good, broken


_VALUE: Final = msgspec.json.Decoder(Entry | str)


def _value(data: bytes, found: re.Match[bytes]) -> Entry | str | None:
    body = data[found.end() : found.end() + int(found[1], 16)]
    if zlib.crc32(body) != int(found[2], 16):
        return None
    try:
        value: Entry | str = _VALUE.decode(body)
    except msgspec.MsgspecError:
        return None
    return value

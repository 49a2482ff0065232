"""Reading a segment from its file, some megabytes at a time: its whole need not be in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from storage.tsdb import records
from storage.tsdb.records import SEGMENT_HEAD, Damage, Kind

_AT_ONCE: Final = 4 << 20


def read_segment(path: Path) -> Iterator[tuple[Kind, memoryview] | Damage]:
    """Yield what ``records.read`` does of the file's bytes; payloads are good until the next one.

    From the first damage on the rest is read at once, to look for the next whole record.

    Raises:
        OSError: If the file cannot be read.
        StorageError: If the segment is of an unknown version.
    """
    with path.open("rb", buffering=0) as file:
        size = path.stat().st_size
        at = 0
        if records.is_known(file.read(len(SEGMENT_HEAD))):
            at, room = len(SEGMENT_HEAD), memoryview(bytearray(min(size, _AT_ONCE)))
            while at < size:
                file.seek(at)
                data = room[: file.readinto(room)]
                done = 0
                for kind, payload, end in records.whole(data):
                    yield kind, payload
                    done = end
                at += done
                if len(data) < len(room):
                    break
                if not done:  # a record that is longer, or damage
                    room = memoryview(bytearray(len(room) * 4))
        if at == size and at:
            return
        file.seek(at)
        before, rest = (SEGMENT_HEAD, file.read()) if at else (b"", file.read())
        for item in records.read(before + rest):
            if isinstance(item, Damage):
                yield replace(item, offset=item.offset + max(at - len(SEGMENT_HEAD), 0))
            else:
                yield item

"""Records of the write-ahead log. A record is ``u32 length | u32 crc32 | u8 kind | 3 spare | payload``.

What a record names by number (refs, layouts) is defined by a record before it in the same segment.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.errors import StorageError
from model.histogram.pool import FIELDS, HistogramColumn, HistogramPool
from model.labels import Labels, LabelTable
from model.samples import Exemplar, Floats, no_samples
from storage.interface import Metadata, Refs
from storage.tsdb.codec import compress, decompress, shuffle, unshuffle
from storage.tsdb.columns import pack_columns, unpack_columns
from storage.tsdb.container import Field, pack, pack_table, unpack, unpack_table
from storage.tsdb.samples import Samples
from storage.tsdb.stack import Stack

SEGMENT_VERSION: Final = 3  # 2 had no sealed chunks, 1 neither typed samples nor exemplars
SEGMENT_HEAD: Final = b"TSCPWAL" + bytes([SEGMENT_VERSION])

_RECORD: Final = struct.Struct("<IIB3x")
_ZEROS: Final = 8  # at the end of a file: its size reached the disk, its data did not
_COUNT: Final = struct.Struct("<I")


class Kind(IntEnum):
    """What a record holds."""

    SERIES = 1
    LAYOUT = 2
    SCRAPES = 3
    SAMPLES = 4
    METADATA = 5
    TYPED_SAMPLES = 6
    EXEMPLARS = 7
    ALL_EXEMPLARS = 8
    SEALED = 9


_KINDS: Final = frozenset(map(int, Kind))


class Damage(Struct, frozen=True):
    """A part of a segment that cannot be read.

    Attributes:
        offset: Its first byte.
        size: How many bytes.
        torn: True if the end of the file is simply missing, as after a kill.
    """

    offset: int
    size: int
    torn: bool


class Scrape(Struct, frozen=True):
    """One scrape as logged."""

    layout_id: int
    ts_ms: int
    values: Floats


def frame(kind: Kind, payload: bytes) -> bytes:
    """Return a whole record."""
    return _RECORD.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


def read(data: bytes) -> Iterator[tuple[Kind, memoryview] | Damage]:
    """Yield a segment's records; a Damage stands where some bytes could not be read.

    Behind damage reading goes on at the next record that is whole. A segment whose version is not
    known but whose first record is whole has a damaged head: a later version is to checksum its
    records otherwise.

    Raises:
        StorageError: If the segment is of an unknown version.
    """
    head = data[: len(SEGMENT_HEAD)]
    at = len(SEGMENT_HEAD)
    if not is_known(head):
        first = _next_whole(data, len(SEGMENT_HEAD))
        if first < 0:
            if SEGMENT_HEAD.startswith(head) or not any(head):
                yield Damage(0, len(data), torn=True)
                return
            if head[:-1] == SEGMENT_HEAD[:-1]:
                raise StorageError(f"WAL version {head[-1]} is unknown here; use a newer Taskscope")
        yield Damage(0, first if first >= 0 else len(data), torn=False)
        at = first if first >= 0 else len(data)
    view = memoryview(data)
    while at < len(data):
        found = _whole(view, at)
        if found is None:
            following = _next_whole(data, at + 1)
            if following < 0:
                yield Damage(at, len(data) - at, _torn(view, at))
                return
            yield Damage(at, following - at, torn=False)
            at = following
            continue
        kind, payload = found
        yield kind, payload
        at += _RECORD.size + len(payload)


def is_known(head: bytes) -> bool:
    """Tell whether a segment that begins so is whole there, and of a version that can be read."""
    return head[:-1] == SEGMENT_HEAD[:-1] and 1 <= head[-1] <= SEGMENT_VERSION


def whole(view: memoryview) -> Iterator[tuple[Kind, memoryview, int]]:
    """Yield the records that stand one behind the other from the first byte on, each with its end."""
    at = 0
    while found := _whole(view, at):
        at += _RECORD.size + len(found[1])
        yield *found, at


def _whole(view: memoryview, at: int) -> tuple[Kind, memoryview] | None:
    """Return the record at an offset, None if there is none or it is damaged."""
    if at + _RECORD.size > len(view):
        return None
    length, crc, kind = _RECORD.unpack_from(view, at)
    stop = at + _RECORD.size + length
    payload = view[at + _RECORD.size : stop]
    if stop > len(view) or kind not in _KINDS or zlib.crc32(payload, kind) != crc:
        return None
    return Kind(kind), payload


def _torn(view: memoryview, at: int) -> bool:
    """Tell whether the last record was not written whole: its end is missing, or has become zeros."""
    if at + _RECORD.size > len(view) or not any(view[-_ZEROS:]):
        return True
    return at + _RECORD.size + int(_RECORD.unpack_from(view, at)[0]) > len(view)


def _next_whole(data: bytes, start: int) -> int:
    """Return the offset of the first whole record at or behind ``start``, -1 if there is none."""
    plain = np.frombuffer(data, np.uint8)[start:]
    if len(plain) < _RECORD.size:
        return -1
    kinds = plain[8 : len(plain) - 3]
    likely = (kinds > 0) & (kinds <= max(_KINDS))
    for spare in range(3):
        likely &= plain[9 + spare : len(plain) - 2 + spare] == 0
    view = memoryview(data)
    for at in (np.flatnonzero(likely) + start).tolist():
        if _whole(view, at) is not None:
            return int(at)
    return -1


def series_record(refs: Refs, table: LabelTable) -> bytes:
    """Say which labels some refs stand for."""
    return frame(Kind.SERIES, compress(pack({"refs": refs, **pack_table(table)})))


def read_series(payload: memoryview) -> tuple[Refs, LabelTable]:
    """Undo ``series_record``."""
    fields = unpack(decompress(payload))
    return fields["refs"], unpack_table(fields, len(fields["refs"]))


def layout_record(layout_id: int, refs: Refs) -> bytes:
    """Say which refs a layout has."""
    return frame(Kind.LAYOUT, compress(pack({"id": np.array([layout_id]), "refs": refs})))


def read_layout(payload: memoryview) -> tuple[int, Refs]:
    """Undo ``layout_record``."""
    fields = unpack(decompress(payload))
    return int(fields["id"][0]), fields["refs"]


def scrapes_record(scrapes: Sequence[Scrape]) -> bytes:
    """Log scrapes: their heads as columns, then all values, byte-shuffled."""
    head = np.array([(s.layout_id, s.ts_ms, len(s.values)) for s in scrapes], dtype=np.int64)
    values = np.concatenate([s.values for s in scrapes])
    payload = _COUNT.pack(len(scrapes)) + head.tobytes() + compress(shuffle(values))
    return frame(Kind.SCRAPES, payload)


def read_scrapes(payload: memoryview) -> Iterator[Scrape]:
    """Undo ``scrapes_record``."""
    logged = LoggedScrapes(payload)
    for layout_id, ts_ms, start, stop in logged.heads:
        yield Scrape(layout_id, ts_ms, logged.values[start:stop])


class LoggedScrapes:
    """A record of scrapes, whose values are decoded once they are asked for; it keeps their bytes.

    Attributes:
        heads: Of each scrape its layout, its time, and where its values begin and end.
    """

    def __init__(self, payload: memoryview) -> None:
        (count,) = _COUNT.unpack_from(payload)
        head = np.frombuffer(payload, np.int64, count * 3, _COUNT.size).reshape(count, 3)
        self._packed = bytes(payload[_COUNT.size + head.nbytes :])
        layouts, times, sizes = head.T.tolist()
        ends = [0, *itertools.accumulate(sizes)]
        self.heads = list(zip(layouts, times, ends[:-1], ends[1:], strict=True))

    @cached_property
    def values(self) -> Floats:
        """All values, in the order of the scrapes."""
        return unshuffle(decompress(self._packed), np.float64)


def samples_record(samples: Samples) -> bytes:
    """Log samples with their own timestamps."""
    if samples.start_ms is not None or samples.histograms is not None:
        return frame(Kind.TYPED_SAMPLES, _typed(samples))
    planes = shuffle(samples.refs) + shuffle(samples.ts_ms) + shuffle(samples.values)
    return frame(Kind.SAMPLES, compress(planes))


def read_samples(payload: memoryview) -> Samples:
    """Undo ``samples_record``."""
    planes = memoryview(decompress(payload))
    size = len(planes) // 3
    refs, ts, values = (planes[i * size : (i + 1) * size] for i in range(3))
    return Samples(
        unshuffle(refs, np.int64), unshuffle(ts, np.int64), unshuffle(values, np.float64)
    )


def _typed(samples: Samples) -> bytes:
    columns: dict[str, npt.NDArray[Any]] = {"refs": samples.refs, "ts_ms": samples.ts_ms}
    if samples.start_ms is not None:
        columns["start_ms"] = samples.start_ms
    column = None if samples.histograms is None else samples.histograms.gathered()
    if column is None:
        columns["values"] = samples.values
    else:
        columns["histogram"] = column.index >= 0
        columns["values"] = samples.values[column.index < 0]
        columns |= {f"pool.{name}": array for name, array in column.pool.columns().items()}
    return pack_columns(columns)


def read_typed_samples(payload: memoryview) -> Samples:
    """Undo ``samples_record`` for samples with start timestamps or histograms."""
    columns = unpack_columns(payload)
    values, stack = columns["values"], None
    if "histogram" in columns:
        here = columns["histogram"]
        values = no_samples(len(here))
        values[~here] = columns["values"]
        index = np.where(here, np.cumsum(here) - 1, -1).astype(np.int32)
        pool = HistogramPool(**{name: columns[f"pool.{name}"] for name in FIELDS})
        stack = Stack.levelled(HistogramColumn(index, pool))
    return Samples(columns["refs"], columns["ts_ms"], values, columns.get("start_ms"), stack)


def exemplars_record(refs: Refs, exemplars: Sequence[Exemplar], *, whole: bool = False) -> bytes:
    """Log exemplars; if ``whole`` they are all there are, whatever was logged before."""
    texts = [text for one in exemplars for pair in one.labels for text in pair]
    fields: dict[str, Field] = {
        "refs": refs,
        "ts_ms": np.array([one.ts_ms for one in exemplars], dtype=np.int64),
        "values": np.array([one.value for one in exemplars], dtype=np.float64),
        "sizes": np.array([len(one.labels) for one in exemplars], dtype=np.int64),
        "texts": texts,
    }
    kind = Kind.ALL_EXEMPLARS if whole else Kind.EXEMPLARS
    return frame(kind, compress(pack(fields)))


def read_exemplars(payload: memoryview) -> tuple[Refs, list[Exemplar]]:
    """Undo ``exemplars_record``."""
    fields = unpack(decompress(payload))
    texts = fields["texts"]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    stops = np.cumsum(fields["sizes"]).tolist()
    labels = [Labels(pairs[a:b]) for a, b in itertools.pairwise([0, *stops])]
    rows = zip(labels, fields["values"].tolist(), fields["ts_ms"].tolist(), strict=True)
    return fields["refs"], [Exemplar(*row) for row in rows]


def metadata_record(metadata: Mapping[str, Metadata]) -> bytes:
    """Log what is known of metric families."""
    rows = {name: (str(m.type), m.help, m.unit) for name, m in metadata.items()}
    return frame(Kind.METADATA, compress(msgspec.json.encode(rows)))


def read_metadata(payload: memoryview) -> dict[str, Metadata]:
    """Undo ``metadata_record``."""
    rows: dict[str, list[Any]] = msgspec.json.decode(decompress(payload))
    return {name: Metadata(*row) for name, row in rows.items()}

"""The log store's write-ahead log: round trip, and cut or damaged at any byte."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import StorageError
from model.log import LogBatch
from storage.logdb.chunk import Chunk
from storage.logdb.wal import WalWriter, decode, encode, replay
from tests.storage.logdb.logs import make_batch


def _chunks() -> list[Chunk]:
    one = make_batch(["a", "b b", ""], fields=['{"x":1}', "", ""], trace_ids={1: "ab" * 16})
    two = make_batch(
        [b"\xff\x00", "long " * 50],
        task="t-2",
        tags={"service.version": "1"},
        original_bytes=np.array([0, 9000], dtype=np.int64),
    )
    return [Chunk(1, 11, 100, one), Chunk(2, -12, 200, two)]


def _plain(chunk: Chunk) -> dict[str, object]:
    batch: LogBatch = chunk.batch
    spans = [batch.message.starts, batch.message.ends]
    has_fields = bool((batch.fields.ends > batch.fields.starts).any())
    return {
        "chunk": (chunk.seq, chunk.source, chunk.taken_ns),
        "identity": batch.identity,
        "texts": (batch.source_id, batch.stream, batch.dataset, batch.buf),
        "numbers": (batch.run, batch.read_ns, batch.end_offset),
        "more": (batch.tags, batch.trace_ids),
        "spans": [column.tolist() for column in spans],
        "fields": [batch.fields.starts.tolist(), batch.fields.ends.tolist()] if has_fields else [],
        "columns": [
            column.tolist()
            for column in (
                batch.ts_ns,
                batch.levels,
                batch.offsets,
                batch.flags,
                batch.original_bytes,
            )
        ],
    }


@pytest.mark.parametrize("index", [0, 1])
def test_chunk_survives_bytes(index: int) -> None:
    """A chunk comes back from its bytes as it was."""
    chunk = _chunks()[index]

    assert _plain(decode(encode(chunk))) == _plain(chunk)


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """A file that was closed well is read whole, with nothing lost."""
    path = tmp_path / "1.wal"
    writer = WalWriter(path)
    for chunk in _chunks():
        writer.write(chunk)
    writer.sync()
    dirty = writer.dirty
    writer.close()

    result = replay(path)

    assert [_plain(c) for c in result.chunks] == [_plain(c) for c in _chunks()]
    assert (result.lost_bytes, dirty) == (0, False)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_cut_or_damaged_file_gives_all_other_records(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever happens to a file's bytes, all records but the one it happened to are read, and it is reported."""
    path = tmp_path_factory.mktemp("wal") / "1.wal"
    writer = WalWriter(path)
    ends = []
    for chunk in _chunks():
        writer.write(chunk)
        ends.append(writer.size)
    writer.close()
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    if cut:
        del whole[place:]
    else:
        whole[place] ^= 0x55
    path.write_bytes(whole)

    result = replay(path)

    # a cut takes all behind it, damage only the record it is in (none if it is in the header)
    starts = [16, *ends[:-1]]
    kept = [
        number
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
        if end <= place or (not cut and start > place)
    ]
    chunks = _chunks()
    assert [_plain(c) for c in result.chunks] == [_plain(chunks[n]) for n in kept]
    header = len(whole[:16]) if place < (16 if cut else 12) else 0
    records = sum(ends[n] - starts[n] for n in kept)
    assert result.lost_bytes == max(0, len(whole) - 16) - records + header
    assert bool(result.reason) == bool(result.lost_bytes)


def test_later_version_is_refused(tmp_path: Path) -> None:
    """A file of a format that is not known is refused with a sentence, not skipped."""
    path = tmp_path / "1.wal"
    WalWriter(path).close()
    data = bytearray(path.read_bytes())
    data[8] = 99
    data[12:16] = zlib.crc32(data[:12]).to_bytes(4, "little")
    path.write_bytes(data)

    with pytest.raises(StorageError, match="format version 99; this Taskscope knows 1"):
        replay(path)

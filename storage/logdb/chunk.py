"""One batch as the store holds it until it is sealed, and what makes a record the same record."""

from dataclasses import dataclass, field
from typing import Final

from model.log import LogBatch
from model.samples import Ints

MASK64: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """The records of one appended batch that were not there before.

    Attributes:
        seq: Number of the batch in the store, rising; the tail resumes by it.
        source: ``source_key`` of the batch's source; together with the offset it is the record.
        taken_ns: When the store took it; retention counts from here.
        batch: The records.
        min_ts_ns: Time of the earliest record.
        max_ts_ns: Time of the latest record.
        rising: Whether the records stand in the order of time and place.
    """

    seq: int
    source: int
    taken_ns: int
    batch: LogBatch
    min_ts_ns: int = field(init=False)
    max_ts_ns: int = field(init=False)
    rising: bool = field(init=False)

    def __post_init__(self) -> None:
        # most batches of a quiet task are one record: known once, these make searches over many cheap
        ts_ns = self.batch.ts_ns
        rising = len(ts_ns) == 1 or _rising(ts_ns, self.batch.offsets)
        object.__setattr__(self, "min_ts_ns", int(ts_ns[0] if rising else ts_ns.min()))
        object.__setattr__(self, "max_ts_ns", int(ts_ns[-1] if rising else ts_ns.max()))
        object.__setattr__(self, "rising", rising)

    @property
    def size(self) -> int:
        """Bytes this holds in memory, about; a batch of one record is more than two kilobytes of objects."""
        return len(self.batch.buf) + 60 * len(self.batch) + 2500


def _rising(ts_ns: Ints, offsets: Ints) -> bool:
    return bool((ts_ns[1:] >= ts_ns[:-1]).all() and (offsets[1:] > offsets[:-1]).all())


def record_id(source: int, offset: int) -> str:
    """Return the document id: 16 hex digits of the source, then the offset in hex."""
    return f"{source & MASK64:016x}{offset & MASK64:x}"


def read_id(text: str) -> tuple[int, int] | None:
    """Return source and offset of a document id, None if it is none."""
    try:
        source, offset = int(text[:16], 16), int(text[16:], 16)
    except ValueError:
        return None
    return (source if source < 2**63 else source - 2**64), offset


def slice_text(buf: bytes, starts: Ints, ends: Ints, index: int) -> str:
    """Return one piece of a buffer; bytes that are no UTF-8 are replaced, as they are in segments."""
    return buf[starts[index] : ends[index]].decode("utf-8", "replace")

"""What is known of a segment: a Parquet file, sorted by task and time, written once and never changed."""

from typing import Final

from msgspec import Struct

# A row group is what a search reads at least, and what it holds in memory at once.
ROW_GROUP: Final = 16_384
GROUP_BYTES: Final = 8 << 20
INDEX_SUFFIX: Final = ".index"


class Segment(Struct, frozen=True):
    """What the manifest says of one segment. Ranges are closed.

    Attributes:
        name: File name below ``segments/``; its index has the same with another suffix.
        rows: Records in it.
        size: Bytes on disk.
        min_ts_ns, max_ts_ns: Times of its records.
        min_seq, max_seq: Batches its records came in.
        taken_ns: When the newest of them was taken in; retention counts from here.
        index_size: Bytes of its index; 0 for a segment that has none.
    """

    name: str
    rows: int
    size: int
    min_ts_ns: int
    max_ts_ns: int
    min_seq: int
    max_seq: int
    taken_ns: int
    index_size: int = 0


class Group(Struct, frozen=True):
    """What is known of one row group of a segment. Ranges are closed.

    Attributes:
        rows: Records in it.
        min_ts_ns, max_ts_ns: Their times.
        min_task, max_task: Their task ids.
        min_seq, max_seq: Their batches.
        text_bytes: Size of their messages and own fields.
        filter_bytes: Size of its token filter; 0 for none.
        constants: Columns that have one value in all of them; they need not be read.
    """

    rows: int
    min_ts_ns: int
    max_ts_ns: int
    min_task: str
    max_task: str
    min_seq: int
    max_seq: int
    text_bytes: int
    filter_bytes: int = 0
    constants: dict[str, str | int] = {}


class Commit(Struct, frozen=True):
    """What the manifest says beside its segments, as of the moment one was sealed; see ``Manifest``."""

    wal_first: int
    next_seq: int
    sources_file: str
    sources_crc: int


def index_name(name: str) -> str:
    """Return the file name of a segment's index."""
    return name.rpartition(".")[0] + INDEX_SUFFIX

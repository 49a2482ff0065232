"""What the log store can be told; set by code, made from ``storage.config`` by the wiring."""

from typing import Final

from msgspec import Struct

DAY_NS: Final = 86_400 * 1_000_000_000


class LogDbSettings(Struct, frozen=True):
    """How much is kept, and how it is laid down.

    Attributes:
        retention_ns: Records are kept this long ...
        retention_bytes: ... as long as all of them take no more than this.
        seal_bytes: The part in memory becomes a segment at this size ...
        seal_seconds: ... or at this age.
        segment_bytes: Small segments are merged up to this size.
        sync_seconds: What is written reaches the disk within this time.
        query_memory_bytes: Memory that searches may use.
        query_threads: Threads that searches may use.
    """

    retention_ns: int = 30 * DAY_NS
    retention_bytes: int = 20 << 30
    seal_bytes: int = 16 << 20
    seal_seconds: float = 300.0
    segment_bytes: int = 64 << 20
    sync_seconds: float = 1.0
    query_memory_bytes: int = 128 << 20
    query_threads: int = 2

"""Settings of the embedded log store."""

from pydantic import Field

from configfile.validate import Section


class LogDbSettings(Section):
    """How much is kept, and how it is laid down."""

    retention_days: float = Field(30.0, gt=0, description="Records are kept this long.")
    retention_bytes: int = Field(
        20 * 1024**3, ge=1024**2, description="... as long as all of them take no more than this."
    )
    seal_bytes: int = Field(
        16 * 1024**2, ge=1024, description="The part in memory becomes a segment at this size ..."
    )
    seal_seconds: float = Field(300.0, gt=0, description="... or at this age.")
    segment_bytes: int = Field(
        64 * 1024**2, ge=1024, description="Small segments are merged up to this size."
    )
    sync_seconds: float = Field(
        1.0, ge=0, le=60, description="What is written reaches the disk within this time."
    )
    query_memory_bytes: int = Field(
        128 * 1024**2, ge=32 * 1024**2, description="Memory that searches may use."
    )
    query_threads: int = Field(2, ge=1, le=64, description="Threads that searches may use.")

"""The place of a source of log lines (a file, a stream) in the order of records, the same in every store.

Records are in the order of their time; those of the same nanosecond stand by source, then by offset.
"""

import hashlib


def source_key(source_id: str) -> int:
    """Return 64 bits for a source, signed as Parquet has them."""
    digest = hashlib.blake2b(source_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def source_name(key: int) -> str:
    """Return the key of a source as 16 hex digits, which sort as keys do; ``taskscope.source`` of its records."""
    return f"{key + 2**63:016x}"

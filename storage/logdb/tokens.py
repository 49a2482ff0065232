"""Token filters: which row groups can have a word at all.

A token is a run of ASCII letters, digits and underscores, in lower case; whatever else stands in a
text parts tokens. So each word of a query (``storage.logquery.words``) that is found in a message
has all its tokens there, and a filter may say "perhaps" too often, never "no" wrongly. A token is
known by its first and last eight bytes and its length; tokens shorter than three are in no filter.

A filter is a Bloom filter of 2**n blocks of 512 bytes, n as small as keeps it mostly zeros; the three
probes for a token are in one block.
"""

import re
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

SHORTEST: Final = 3
BLOCK_BYTES: Final = 512
STRIDE: Final = BLOCK_BYTES + 4
_BLOCK_LOG2: Final = 12
_BLOCK_MASK: Final = (1 << _BLOCK_LOG2) - 1
_PROBES: Final = (24, 38, 52)  # shifts of the hash; its lowest bits are the number of the block
_MAX_LOG2: Final = 11  # a filter has at most a megabyte
_FULL: Final = 0.2  # one row group in 125 is read for nothing

_WORD_BYTES: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
_LOWERED: Final = bytes(ord(chr(b).lower()) if b in _WORD_BYTES else 0 for b in range(256))
_HEAD: Final = np.array([(1 << 8 * n) - 1 for n in range(8)] + [2**64 - 1], dtype=np.uint64)
_HEX: Final = np.array([int(chr(b), 16) if chr(b) in "0123456789abcdefABCDEF" else 16 for b in range(256)])  # fmt: skip
_IS_WORD: Final = np.array([b in _WORD_BYTES for b in range(256)])
_TOKEN = re.compile(rb"[0-9a-z_]+")
_BACKSLASH: Final = ord("\\")
# Lower case makes ASCII letters of the Kelvin sign and of I with a dot: no run of ASCII bytes knows.
BECOMES_ASCII: Final = (b"\xe2\x84\xaa", b"\xc4\xb0")


def query_tokens(word: str) -> list[bytes]:
    """Return the tokens that stand wherever a text does; of any case."""
    return [token for token in _TOKEN.findall(word.encode().lower()) if len(token) >= SHORTEST]


def message_hashes(data: bytes, starts: npt.NDArray[np.int64]) -> Hashes | None:
    """Return the hashes of all tokens in a column of texts that stand one after another.

    Args:
        data: All texts.
        starts: Where each begins.

    Returns:
        None if some text has a character that is an ASCII letter in lower case only.
    """
    if not data.isascii() and any(odd in data for odd in BECOMES_ASCII):
        return None
    return _hashes(data.translate(_LOWERED), starts)


def json_hashes(data: bytes, starts: npt.NDArray[np.int64]) -> Hashes | None:
    """Return the hashes of all tokens in a column of JSON texts, as they are behind their escapes.

    Returns:
        None if some escape stands for a letter, a digit or an underscore.
    """
    lowered = data.translate(_LOWERED)
    if b"\\" not in data:
        return _hashes(lowered, starts)
    raw = np.frombuffer(data + b"\0" * 6, dtype=np.uint8)
    clean = np.frombuffer(bytearray(lowered + b"\0" * 6), dtype=np.uint8)
    at = np.flatnonzero(raw == _BACKSLASH)
    # of a run of backslashes every other one begins an escape
    first = np.concatenate(([True], np.diff(at) != 1))
    behind = np.arange(len(at)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    at = at[behind % 2 == 0]
    clean[at + 1] = 0
    unicode = at[raw[at + 1] == ord("u")]
    for place in range(2, 6):
        clean[unicode + place] = 0
    digits = [_HEX[raw[unicode + place]] for place in range(2, 6)]
    codes = ((digits[0] * 16 + digits[1]) * 16 + digits[2]) * 16 + digits[3]
    if _IS_WORD[codes[codes < 128]].any():
        return None
    return _hashes(clean[:-6].tobytes(), starts)


def hashes_of(tokens: list[bytes]) -> Hashes:
    """Return the hashes of some tokens."""
    starts = np.cumsum([0, *map(len, tokens)])[:-1]
    return _hashes(b"".join(tokens), starts.astype(np.int64))


def make_filter(hashes: Hashes | None) -> bytes:
    """Return the filter of some hashes: blocks, each with its CRC-32 behind it; empty for None: anything may be in."""
    if hashes is None:
        return b""
    log2 = min(_MAX_LOG2, max(0, int(max(1, 8 * len(hashes) >> _BLOCK_LOG2)).bit_length()))
    table = np.zeros(1 << (log2 + _BLOCK_LOG2), dtype=np.bool_)
    base = (hashes & np.uint64((1 << log2) - 1)) << np.uint64(_BLOCK_LOG2)
    for shift in _PROBES:
        table[base | ((hashes >> np.uint64(shift)) & np.uint64(_BLOCK_MASK))] = True
    while log2:
        half = table[: len(table) // 2] | table[len(table) // 2 :]
        if np.count_nonzero(half) > _FULL * len(half):
            break
        table, log2 = half, log2 - 1
    data = np.packbits(table, bitorder="little").tobytes()
    blocks = (data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES))
    return b"".join(block + zlib.crc32(block).to_bytes(4, "little") for block in blocks)


def place(value: int, blocks: int) -> tuple[int, list[int]]:
    """Return the block that a hash belongs to, and its bits there."""
    return value & (blocks - 1), [value >> shift & _BLOCK_MASK for shift in _PROBES]


def _hashes(lowered: bytes, starts: npt.NDArray[np.int64]) -> Hashes:
    """Return the hashes of the tokens in texts of which only tokens are left, the rest being zeros."""
    size = len(lowered)
    if not size:
        return np.zeros(0, dtype=np.uint64)
    text = np.frombuffer(lowered + b"\0" * 8, dtype=np.uint8)
    inside = np.empty(size + 2, dtype=np.bool_)
    inside[0] = inside[-1] = False
    np.not_equal(text[:size], 0, out=inside[1:-1])
    begins = inside[1:-1] & ~inside[:-2]
    stops = inside[1:-1] & ~inside[2:]
    borders = starts[(starts > 0) & (starts < size)]
    begins[borders] = inside[1:-1][borders]
    stops[borders - 1] = inside[1:-1][borders - 1]
    first, last = np.flatnonzero(begins), np.flatnonzero(stops)
    long = last - first >= SHORTEST - 1
    first, last = first[long], last[long]
    length = last - first + 1
    words: npt.NDArray[np.uint64] = np.ndarray((size,), np.uint64, text.data, 0, (1,))
    head = words[first] & _HEAD[np.minimum(length, 8)]
    tail = np.zeros(len(first), dtype=np.uint64)
    longer = np.flatnonzero(length > 8)
    tail[longer] = words[last[longer] - 7]
    mixed = head * np.uint64(0x9E3779B97F4A7C15) ^ (tail * np.uint64(0xC2B2AE3D27D4EB4F) + length.astype(np.uint64))  # fmt: skip
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(29)
    hashes: Hashes = mixed
    return hashes

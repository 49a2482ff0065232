"""Prometheus's hash of a label set (``labels.Labels.Hash``): XXH64 over lengths and texts, many sets at once."""

from typing import Final

import numpy as np
import numpy.typing as npt

from model.labels import LabelTable

Words = npt.NDArray[np.uint64]

_P1: Final = np.uint64(0x9E3779B185EBCA87)
_P2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_P3: Final = np.uint64(0x165667B19E3779F9)
_P4: Final = np.uint64(0x85EBCA77C2B2AE63)
_P5: Final = np.uint64(0x27D4EB2F165667C5)
_BYTE: Final = 255  # a length from here on takes this byte and three more


def label_hashes(table: LabelTable) -> Words:
    """Return the hash of each row; uint64, shape (n,)."""
    texts = [b""] * table.size
    for name in sorted(table.columns, key=lambda n: n.encode("utf-8", "surrogateescape")):
        column = table.columns[name]
        used, inverse = np.unique(column.codes, return_inverse=True)
        own = _sized(name)
        parts = [own + _sized(column.values[c]) if c else b"" for c in used.tolist()]
        texts = [
            text + parts[i] for text, i in zip(texts, inverse.reshape(-1).tolist(), strict=True)
        ]
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    out = np.zeros(table.size, dtype=np.uint64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        joined = b"".join(texts[row] for row in rows.tolist())
        out[rows] = xxh64(np.frombuffer(joined, dtype=np.uint8).reshape(len(rows), length))
    return out


def _sized(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if len(data) < _BYTE:
        return bytes([len(data)]) + data
    return bytes([_BYTE]) + len(data).to_bytes(3, "little") + data


def _rotated(words: Words, by: int) -> Words:
    return (words << np.uint64(by)) | (words >> np.uint64(64 - by))


def _round(state: Words, word: Words) -> Words:
    return _rotated(state + word * _P2, 31) * _P1


def xxh64(data: npt.NDArray[np.uint8]) -> Words:
    """Hash each row of bytes (m, L) with seed 0; uint64, shape (m,). Arithmetic wraps at 64 bits."""
    size, length = data.shape
    at = 0
    with np.errstate(over="ignore"):
        if length >= 32:
            lanes = [np.full(size, seed) for seed in (_P1 + _P2, _P2, np.uint64(0), -_P1)]
            while length - at >= 32:
                words = _words(data, at, 32, "<u8")
                lanes = [_round(lane, words[:, i]) for i, lane in enumerate(lanes)]
                at += 32
            out = _rotated(lanes[0], 1) + _rotated(lanes[1], 7)
            out = out + _rotated(lanes[2], 12) + _rotated(lanes[3], 18)
            for lane in lanes:
                out = (out ^ _round(np.zeros_like(lane), lane)) * _P1 + _P4
        else:
            out = np.full(size, _P5)
        out = out + np.uint64(length)
        while length - at >= 8:
            word = _words(data, at, 8, "<u8")[:, 0]
            out = _rotated(out ^ _round(np.zeros_like(word), word), 27) * _P1 + _P4
            at += 8
        if length - at >= 4:
            out = _rotated(out ^ (_words(data, at, 4, "<u4")[:, 0] * _P1), 23) * _P2 + _P3
            at += 4
        for i in range(at, length):
            out = _rotated(out ^ (data[:, i].astype(np.uint64) * _P5), 11) * _P1
        out = (out ^ (out >> np.uint64(33))) * _P2
        out = (out ^ (out >> np.uint64(29))) * _P3
        return out ^ (out >> np.uint64(32))


def _words(data: npt.NDArray[np.uint8], at: int, size: int, kind: str) -> Words:
    return np.ascontiguousarray(data[:, at : at + size]).view(kind).astype(np.uint64)

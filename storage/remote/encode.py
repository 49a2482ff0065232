"""From columns to the bytes of a WriteRequest, without an object per sample.

A layout is encoded once; a scrape of it is a copy of those bytes with values and time filled in.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.labels import Labels
from model.samples import Exemplar, Floats, Ints, is_no_sample
from storage.interface import Metadata
from storage.remote.wire import (
    EXEMPLAR_TAG,
    LABEL_TAG,
    METADATA_TAG,
    METRIC_TYPES,
    SAMPLE_BYTES,
    SAMPLE_TAG,
    SERIES_TAG,
    TIME_OFFSET,
    TIME_TAG,
    USUAL_TIME,
    VALUE_OFFSET,
    VALUE_TAG,
    delimited,
    varint,
)

_DOUBLE: Final = Struct("<d")

Bytes = npt.NDArray[np.uint8]


def encode_labels(labels: Labels) -> bytes:
    """Encode the labels of one series."""
    return b"".join(
        delimited(LABEL_TAG, delimited(0x0A, name.encode()) + delimited(0x12, _utf8(value)))
        for name, value in labels
    )


def encode_series(labels: bytes, ts_ms: int, value: bytes) -> bytes:
    """Encode one series with one sample; ``value`` is the float's eight bytes, so that its bits stay."""
    sample = bytes((VALUE_TAG,)) + value + bytes((TIME_TAG,)) + varint(ts_ms)
    return delimited(SERIES_TAG, labels + delimited(SAMPLE_TAG, sample))


def encode_exemplar_series(labels: bytes, exemplar: Exemplar) -> bytes:
    """Encode one series with an exemplar and no sample; ``labels`` are encoded."""
    message = encode_labels(exemplar.labels) + encode_measurement(exemplar)
    return delimited(SERIES_TAG, labels + delimited(EXEMPLAR_TAG, message))


def encode_measurement(exemplar: Exemplar) -> bytes:
    """Encode what stands behind an exemplar's labels, in both versions."""
    return b"\x11" + _DOUBLE.pack(exemplar.value) + b"\x18" + varint(exemplar.ts_ms)


class LayoutEncoder:
    """The series of one layout, ready to be filled in.

    Args:
        labels: The series in the layout's order.
    """

    def __init__(self, labels: Sequence[Labels]) -> None:
        self._lay_out([encode_labels(one) for one in labels])

    @classmethod
    def of_encoded(cls, labels: Sequence[bytes]) -> Self:
        """Make one for series whose labels are encoded already."""
        made = cls(())
        made._lay_out(list(labels))
        return made

    def _lay_out(self, labels: list[bytes]) -> None:
        self.labels = labels
        usual = bytes((SAMPLE_TAG, SAMPLE_BYTES - 2, VALUE_TAG)) + bytes(8) + bytes((TIME_TAG,))
        pieces = [
            bytes((SERIES_TAG,)) + varint(len(one) + SAMPLE_BYTES) + one + usual + bytes(6)
            for one in self.labels
        ]
        self._sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
        self._template: Bytes = np.frombuffer(b"".join(pieces), dtype=np.uint8)
        samples = (np.cumsum(self._sizes) - SAMPLE_BYTES)[:, None]
        self._value_at = samples + VALUE_OFFSET + np.arange(8)
        self._time_at = samples + TIME_OFFSET + np.arange(6)

    @property
    def nbytes(self) -> int:
        """Size of an encoded scrape in which every series has a sample."""
        return len(self._template)

    def encode(self, ts_ms: int, values: Floats) -> tuple[bytes, int]:
        """Return the encoded scrape and the number of its samples; series without a sample are left out."""
        absent = is_no_sample(values)
        count = len(values) - int(absent.sum())
        if ts_ms not in USUAL_TIME:
            raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8)
            rows = np.flatnonzero(~absent).tolist()
            return b"".join(
                encode_series(self.labels[row], ts_ms, raw[row].tobytes()) for row in rows
            ), count
        filled = self._template.copy()
        filled[self._value_at] = np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8)
        filled[self._time_at] = np.frombuffer(varint(ts_ms), dtype=np.uint8)
        if count < len(values):
            filled = filled[np.repeat(~absent, self._sizes)]
        return filled.tobytes(), count


def encode_samples(labels: Sequence[bytes], ts_ms: Ints, values: Floats) -> tuple[bytes, int]:
    """Encode samples with their own times; ``labels`` are encoded, one per sample."""
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8)
    rows = np.flatnonzero(~is_no_sample(values)).tolist()
    times = ts_ms.tolist()
    data = b"".join(encode_series(labels[row], times[row], raw[row].tobytes()) for row in rows)
    return data, len(rows)


def encode_metadata(metadata: Mapping[str, Metadata]) -> bytes:
    """Encode what is known of metric families."""
    pieces = []
    for name, known in metadata.items():
        kind = METRIC_TYPES.index(known.type) if known.type in METRIC_TYPES else 0
        message = bytes((0x08, kind)) if kind else b""
        message += delimited(0x12, _utf8(name))
        message += delimited(0x22, _utf8(known.help)) + delimited(0x2A, _utf8(known.unit))
        pieces.append(delimited(METADATA_TAG, message))
    return b"".join(pieces)


def _utf8(text: str) -> bytes:
    """Encode a text; what UTF-8 cannot say becomes a question mark."""
    return text.encode("utf-8", "replace")

"""What both directions know of the messages: remote.proto and types.proto of prometheus/prompb.

Only protobuf's varints and length-delimited fields are needed. The usual time series, one sample
with a time between 1971 and 2109, has a fixed form behind its labels, which both directions use::

    0a <len>  <labels>  12 10  09 <8 bytes: value>  10 <6 bytes: time>
"""

from struct import Struct
from typing import Final

SERIES_TAG: Final = 0x0A  # WriteRequest.timeseries
METADATA_TAG: Final = 0x1A  # WriteRequest.metadata
LABEL_TAG: Final = 0x0A  # TimeSeries.labels
SAMPLE_TAG: Final = 0x12  # TimeSeries.samples
EXEMPLAR_TAG: Final = 0x1A  # TimeSeries.exemplars
HISTOGRAM_TAG: Final = 0x22  # TimeSeries.histograms
VALUE_TAG: Final = 0x09  # Sample.value, fixed64
TIME_TAG: Final = 0x10  # Sample.timestamp, varint

_DOUBLE: Final = Struct("<d")

SAMPLE_BYTES: Final = 18  # the usual sample, its tag and length included
START_TAG: Final = 0x18  # Sample.start_timestamp, of 2.0
STARTED_BYTES: Final = 25  # the usual sample with a start timestamp
VALUE_OFFSET: Final = 3  # of the value's bytes in it
TIME_OFFSET: Final = 12  # of the time's bytes in it
USUAL_TIME: Final = range(1 << 35, 1 << 42)  # times whose varint has six bytes

METRIC_TYPES: Final = (
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
)


class WireError(ValueError):
    """Bytes that are not the message they should be."""


def varint(number: int) -> bytes:
    """Encode an integer; a negative one as its 64-bit two's complement."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a place and the place behind it.

    Raises:
        WireError: If it is cut off or longer than ten bytes.
    """
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number is cut off or too long")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (1 << 64) - 1, at
        shift += 7


def signed(number: int) -> int:
    """Return an int64 from its two's complement."""
    return number - (1 << 64) if number >> 63 else number


def delimited(tag: int, data: bytes) -> bytes:
    """Encode a length-delimited field; nothing if it is empty, as protobuf leaves out defaults."""
    return bytes((tag,)) + varint(len(data)) + data if data else b""


def read_delimited(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the contents of a length-delimited field begin and end; ``at`` is behind the tag.

    Raises:
        WireError: If it goes beyond ``end``.
    """
    length, start = read_varint(data, at)
    if start + length > end:
        raise WireError("a field is longer than its message")
    return start, start + length


def read_double(data: bytes, at: int, end: int) -> tuple[float, int]:
    """Return the double at a place and the place behind it.

    Raises:
        WireError: If it goes beyond ``end``.
    """
    if at + 8 > end:
        raise WireError("a number is cut off")
    return float(_DOUBLE.unpack_from(data, at)[0]), at + 8


def skip(data: bytes, tag: int, at: int, end: int) -> int:
    """Return the place behind a field that is not known; ``at`` is behind the tag.

    Raises:
        WireError: If it goes beyond ``end`` or has a wire type that does not exist.
    """
    kind = tag & 7
    if kind == 0:
        at = read_varint(data, at)[1]
    elif kind == 1:
        at += 8
    elif kind == 2:
        at = read_delimited(data, at, end)[1]
    elif kind == 5:
        at += 4
    else:
        raise WireError(f"a field has the wire type {kind}")
    if at > end:
        raise WireError("a field is longer than its message")
    return at

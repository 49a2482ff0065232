"""Requests of remote write 2.0: a table of texts, and series that refer to it."""

from collections.abc import Iterable

from msgspec import Struct, field

from model.labels import Labels
from storage.remote.wire import TIME_TAG, VALUE_TAG, delimited, varint


class RequestV2(Struct):
    """A request that is being put together."""

    _symbols: dict[str, int] = field(default_factory=lambda: {"": 0})
    _series: list[bytes] = field(default_factory=list)

    def add(
        self, labels: Labels, samples: Iterable[bytes] = (), histograms: Iterable[bytes] = ()
    ) -> None:
        """Add a series with samples (``sample_v2``) or histograms (``encode_histogram``)."""
        symbols = self._symbols
        refs = b"".join(
            varint(symbols.setdefault(text, len(symbols))) for pair in labels for text in pair
        )
        points = b"".join(_message(0x12, one) for one in samples)
        points += b"".join(_message(0x1A, one) for one in histograms)
        self._series.append(delimited(0x0A, refs) + points)

    def encode(self) -> bytes:
        """Return the message."""
        symbols = (_message(0x22, text.encode()) for text in self._symbols)
        return b"".join((*symbols, *(delimited(0x2A, one) for one in self._series)))


def sample_v2(value: bytes, ts_ms: int, start_ms: int = 0) -> bytes:
    """Encode a Sample; ``value`` is the float's eight bytes, ``start_ms`` 0 for none."""
    sample = bytes((VALUE_TAG,)) + value + bytes((TIME_TAG,)) + varint(ts_ms)
    return sample + (b"\x18" + varint(start_ms) if start_ms else b"")


def _message(tag: int, data: bytes) -> bytes:
    """Encode an element of a repeated field, which is there even if it is empty."""
    return bytes((tag,)) + varint(len(data)) + data

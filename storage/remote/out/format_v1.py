"""Requests of remote write 1.0: fields of a WriteRequest, which are joined as they are."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from model.labels import Labels
from model.samples import Exemplar, is_no_sample
from storage.interface import Metadata
from storage.remote.encode import (
    LayoutEncoder,
    encode_exemplar_series,
    encode_labels,
    encode_metadata,
    encode_samples,
)
from storage.remote.encode_histograms import encode_histogram_series
from storage.remote.out.format import Counts, Exemplars
from storage.tsdb.samples import Samples


class FormatV1:
    """See ``Format``; start timestamps are left out, as 1.0 has none."""

    version = 1

    def series(self, labels: Labels, about: Metadata | None) -> bytes:
        """Return the encoded labels."""
        return encode_labels(labels)

    def layout(self, series: Sequence[bytes]) -> LayoutEncoder:
        """Return what encodes a scrape."""
        return LayoutEncoder.of_encoded(series)

    def samples(
        self, series: Sequence[bytes], samples: Samples, exemplars: Exemplars
    ) -> tuple[bytes, Counts]:
        """Encode floats, then histograms, then exemplars: a receiver must know their series."""
        floats = ~is_no_sample(samples.values)
        chosen = [one for one, is_float in zip(series, floats.tolist(), strict=True) if is_float]
        data, count = encode_samples(chosen, samples.ts_ms[floats], samples.values[floats])
        pieces, histograms = [data], 0
        column = None if samples.histograms is None else samples.histograms.gathered()
        if column is not None:
            for n in np.flatnonzero(column.index >= 0).tolist():
                row, ts_ms = int(column.index[n]), int(samples.ts_ms[n])
                pieces.append(encode_histogram_series(series[n], column.pool, row, ts_ms))
                histograms += 1
        every = [(series[n], one) for n, some in exemplars.items() for one in some]
        pieces += [encode_exemplar_series(labels, one) for labels, one in every]
        return b"".join(pieces), Counts(count, histograms, len(every))

    def exemplars(
        self, series: Sequence[bytes], exemplars: Sequence[Exemplar]
    ) -> tuple[bytes, Counts]:
        """Encode exemplars by themselves."""
        pieces = map(encode_exemplar_series, series, exemplars)
        return b"".join(pieces), Counts(exemplars=len(exemplars))

    def metadata(self, about: Mapping[str, Metadata]) -> tuple[bytes, Counts]:
        """Encode what is known of metric families, which stands beside the series."""
        return encode_metadata(about), Counts(metadata=len(about))

    def join(self, contents: Sequence[object]) -> bytes:
        """Return a WriteRequest."""
        return b"".join(cast("Sequence[bytes]", contents))

    def forget(self) -> bool:
        """There is nothing to forget."""
        return False

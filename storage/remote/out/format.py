"""What the versions of the protocol have in common: series, samples and requests as they are sent."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from model.labels import Labels
from model.samples import Exemplar, Floats
from storage.interface import Metadata
from storage.tsdb.samples import Samples

Exemplars = Mapping[int, Sequence[Exemplar]]


class Counts(NamedTuple):
    """How much of each kind something holds."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0
    metadata: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.samples + self.histograms + self.exemplars + self.metadata


def summed(counts: Sequence[Counts]) -> Counts:
    """Return the sums of each kind."""
    return Counts(*map(sum, zip(*counts, strict=True))) if counts else Counts()


class SentLayout(Protocol):
    """Series whose samples come together, ready to be filled in."""

    def encode(self, ts_ms: int, values: Floats) -> tuple[object, int]:
        """Return the content of a piece, and how many samples it has: NO_SAMPLE is left out."""
        ...


class Format(Protocol):
    """One version. Only ``join`` may be called from several threads.

    Attributes:
        version: 1 or 2.
    """

    version: int

    def series(self, labels: Labels, about: Metadata | None) -> bytes:
        """Return a series in the form that the other methods take; good until the next ``forget``."""
        ...

    def layout(self, series: Sequence[bytes]) -> SentLayout:
        """Return what encodes the samples of these series at one time."""
        ...

    def samples(
        self, series: Sequence[bytes], samples: Samples, exemplars: Exemplars
    ) -> tuple[object, Counts]:
        """Encode samples with their own times.

        Args:
            series: Of each sample.
            samples: Their refs are not looked at.
            exemplars: By the sample that they go with.
        """
        ...

    def exemplars(
        self, series: Sequence[bytes], exemplars: Sequence[Exemplar]
    ) -> tuple[object, Counts]:
        """Encode exemplars without a sample, where the protocol has that."""
        ...

    def join(self, contents: Sequence[object]) -> bytes:
        """Return the message of a request, before compression."""
        ...

    def forget(self) -> bool:
        """Begin anew if too much is remembered; tell whether that was so."""
        ...

"""What a query answers."""

from msgspec import Struct, field

from model.histogram.pool import HistogramColumn
from model.labels import LabelTable
from model.samples import Floats, Ints


class Scalar(Struct, frozen=True):
    """A number at each step.

    Attributes:
        ts_ms: int64, shape (T,).
        values: float64, shape (T,).
    """

    ts_ms: Ints
    values: Floats


class String(Struct, frozen=True):
    """A string."""

    ts_ms: int
    value: str


class Vector(Struct, frozen=True):
    """The answer of an instant query, in output order.

    Attributes:
        labels: n rows.
        ts_ms: The time of the query.
        values: float64, shape (n,); NO_SAMPLE where there is a histogram instead.
        hist: Histograms, index of shape (n, 1); None if there are none.
    """

    labels: LabelTable
    ts_ms: int
    values: Floats
    hist: HistogramColumn | None = None


class Matrix(Struct, frozen=True):
    """The answer of a range query, series ordered by labels; or an instant query's range vector.

    Attributes:
        labels: n rows.
        ts_ms: int64, shape (T,), the steps; or (n, T) for a range vector, whose rows may be
            shorter: there ``values`` is NO_SAMPLE.
        values: float64, shape (n, T); NO_SAMPLE where there is no float.
        hist: Histograms, index of shape (n, T), -1 where there is none; None if there are none.
    """

    labels: LabelTable
    ts_ms: Ints
    values: Floats
    hist: HistogramColumn | None = None


class Stats(Struct, frozen=True):
    """What a query cost: samples read from the store."""

    samples: int = 0


class Result(Struct, frozen=True):
    """The answer with what is to be said about it."""

    value: Scalar | String | Vector | Matrix
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    stats: Stats = field(default_factory=Stats)

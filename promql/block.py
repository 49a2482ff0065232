"""What the engine computes with: an instant vector at every step, as arrays of shape (series, steps)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from model.errors import QueryError
from model.histogram.pool import HistogramColumn, concat_columns
from model.labels import METRIC_NAME, LabelTable, concat_tables
from model.samples import Bools, Floats, Ints

METADATA_LABELS = (METRIC_NAME, "__type__", "__unit__")  # prometheus schema.IsMetadataLabel
SAME_LABELS = "vector cannot contain metrics with the same labelset"

Index = npt.NDArray[np.int64]
Rows = Any  # an index array or a mask


class Block(Struct, frozen=True):
    """An instant vector at every step: n series, T steps.

    A value says nothing where ``present`` is False: arithmetic would destroy the bits of a
    marker, so presence is kept beside.

    Attributes:
        labels: n rows.
        values: float64, shape (n, T).
        present: bool, shape (n, T).
        drop_name: bool, shape (n,): the metric's name is to go at the very end.
        hist: Native histograms, None if there are none.
        sample_ms: int64, shape (n, T): time of the sample behind each value, where asked for.
        start_ms: int64, shape (n, T): start timestamp of that sample, 0 for none.
    """

    labels: LabelTable
    values: Floats
    present: Bools
    drop_name: Bools
    hist: HistogramColumn | None = None
    sample_ms: Ints | None = None
    start_ms: Ints | None = None

    @staticmethod
    def empty(steps: int) -> "Block":
        """Return the vector without any series."""
        none = np.zeros((0, steps))
        return Block(LabelTable(0, {}), none, none.astype(bool), np.zeros(0, dtype=bool))

    @staticmethod
    def single(values: Floats, labels: LabelTable | None = None) -> "Block":
        """Return one series without labels (unless given) that is present at every step."""
        here = np.ones((1, len(values)), dtype=bool)
        table = LabelTable(1, {}) if labels is None else labels
        return Block(table, values[None, :], here, np.zeros(1, dtype=bool))

    @property
    def size(self) -> int:
        """Number of series."""
        return self.labels.size

    @property
    def floats(self) -> Bools:
        """Where there is a float, not a histogram; shape (n, T)."""
        return self.present if self.hist is None else self.present & (self.hist.index < 0)

    @property
    def histograms(self) -> Bools:
        """Where there is a histogram; shape (n, T)."""
        if self.hist is None:
            return np.zeros_like(self.present)
        return self.present & (self.hist.index >= 0)

    def take(self, rows: Rows) -> "Block":
        """Return some series (an index array or a mask)."""
        return replace(self.take_values(rows), labels=self.labels.take(rows))

    def take_values(self, rows: Rows) -> "Block":
        """Return what ``take`` does with the labels left as they were; the caller sets them."""
        return replace(
            self,
            values=self.values[rows],
            present=self.present[rows],
            drop_name=self.drop_name[rows],
            hist=None if self.hist is None else self.hist.take(rows),
            sample_ms=None if self.sample_ms is None else self.sample_ms[rows],
            start_ms=None if self.start_ms is None else self.start_ms[rows],
        )

    def repeated(self, steps: int) -> "Block":
        """Return a vector of one step at several."""
        shape = (self.size, steps)
        hist = self.hist
        if hist is not None:
            hist = HistogramColumn(np.broadcast_to(hist.index, shape), hist.pool)
        values = np.broadcast_to(self.values, shape)
        present = np.broadcast_to(self.present, shape)
        return Block(self.labels, values, present, self.drop_name, hist)

    def compact(self) -> "Block":
        """Return the series that have a point at any step."""
        if self.present.size and self.present.all():
            return self
        keep = self.present.any(axis=1)
        return self if keep.all() else self.take(keep)

    def with_values(self, values: Floats, present: Bools | None = None) -> "Block":
        """Return the same series with float values; presence stays as it is unless given."""
        return replace(
            self,
            values=values,
            present=self.present if present is None else present,
            hist=None,
            sample_ms=None,
            start_ms=None,
        )

    def dropping_name(self) -> "Block":
        """Return the vector with every series' name marked to go."""
        return replace(self, drop_name=np.ones(self.size, dtype=bool))

    def without_dropped_names(self) -> "Block":
        """Return the vector with the marked names gone; series that become one are merged.

        Raises:
            QueryError: If two series with the same labels have a point at the same step.
        """
        if not self.drop_name.any():
            return merge_same_labels(self)
        if self.drop_name.all():
            table = self.labels
            if any(name in table.columns for name in METADATA_LABELS):
                table = table.once("nameless", lambda: self.labels.drop(METADATA_LABELS))
            gone = np.zeros(self.size, dtype=bool)
            return merge_same_labels(replace(self, labels=table, drop_name=gone))
        columns = dict(self.labels.columns)
        for name in METADATA_LABELS:
            column = columns.get(name)
            if column is None:
                continue
            codes = np.where(self.drop_name, np.int32(0), column.codes)
            if codes.any():
                columns[name] = replace(column, codes=codes)
            else:
                del columns[name]
        table = LabelTable(self.size, columns)
        gone = np.zeros(self.size, dtype=bool)
        return merge_same_labels(replace(self, labels=table, drop_name=gone))


def merge_same_labels(block: Block, message: str = SAME_LABELS) -> Block:
    """Merge series whose labels are equal.

    Whether the name is to go is what the one with the earliest point says, for all its steps
    (``rangeEval`` upstream, promql/engine.go).

    Raises:
        QueryError: With ``message``, if two of them have a point at the same step.
    """
    if block.size < 2 or block.labels.distinct:
        return block
    group, first = block.labels.group(block.labels.columns)
    counts = np.zeros((len(first), block.present.shape[1]), dtype=np.int64)
    np.add.at(counts, group, block.present)
    if (counts > 1).any():
        raise QueryError(message)
    rows, steps = np.nonzero(block.present)
    source = np.zeros(counts.shape, dtype=np.int64)
    source[group[rows], steps] = rows
    at = np.arange(counts.shape[1])[None, :]
    earliest = source[np.arange(len(first)), (counts > 0).argmax(axis=1)]
    hist = block.hist
    return Block(
        labels=block.labels.take(first),
        values=block.values[source, at],
        present=counts > 0,
        drop_name=block.drop_name[earliest],
        hist=None if hist is None else HistogramColumn(hist.index[source, at], hist.pool),
    )


def concat_blocks(blocks: Sequence[Block]) -> Block:
    """Stack vectors of the same steps."""
    blocks = [b for b in blocks if b.size] or list(blocks[:1])
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        labels=concat_tables([b.labels for b in blocks]),
        values=np.concatenate([b.values for b in blocks]),
        present=np.concatenate([b.present for b in blocks]),
        drop_name=np.concatenate([b.drop_name for b in blocks]),
        hist=concat_columns([b.hist for b in blocks], [b.values.shape for b in blocks]),
    )

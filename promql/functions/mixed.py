"""Windows that hold floats and histograms: what is said about them."""

from typing import Final

import numpy as np

from model.samples import Bools
from promql.ast import Expr
from promql.call import CallContext, metric_name
from promql.text import quote
from promql.windows import Chunk, Windows

MIXED_BUCKETS: Final = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name "


def names_of(windows: Windows, chunk: Chunk, where: Bools) -> list[str]:
    """Return the metric names of the series of a chunk with a mark at any step; ``where`` is (k, S)."""
    rows = np.flatnonzero(np.broadcast_to(where, chunk.shape).any(axis=1))
    return list(dict.fromkeys(metric_name(windows.labels, int(chunk.rows[i])) for i in rows))


def say_ignored(
    call: CallContext, windows: Windows, chunk: Chunk, where: Bools, node: Expr
) -> None:
    """Tell that histograms were left out of windows that also hold floats."""
    text = "ignored histograms in a range containing both floats and histograms for metric name "
    for name in names_of(windows, chunk, where):
        call.annotations.info(text + quote(name), node)


def say_mixed(call: CallContext, windows: Windows, chunk: Chunk, where: Bools, node: Expr) -> None:
    """Warn that windows with both kinds gave nothing."""
    text = "encountered a mix of histograms and floats for metric name "
    for name in names_of(windows, chunk, where):
        call.annotations.warn(text + quote(name), node)


def say_mixed_buckets(
    call: CallContext, windows: Windows, chunk: Chunk, where: Bools, node: Expr
) -> None:
    """Warn that windows with both kinds of buckets gave nothing."""
    for name in names_of(windows, chunk, where):
        call.annotations.warn(MIXED_BUCKETS + quote(name), node)

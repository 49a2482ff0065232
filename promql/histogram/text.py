"""A histogram as text: ``{count:4, sum:5, (1,2]:3}``, as ``count_values`` shows it."""

import numpy as np

from model.histogram.layout import negative_edges, positive_edges
from model.histogram.pool import HistogramPool
from promql.text import format_g


def histogram_texts(pool: HistogramPool) -> list[str]:
    """Write each row; empty buckets are left out."""
    lower, upper = positive_edges(pool)
    near, far = negative_edges(pool)
    out = []
    for row in range(pool.size):
        parts = [
            f"count:{format_g(float(pool.count[row]))}",
            f"sum:{format_g(float(pool.sum[row]))}",
        ]
        parts += [
            _bucket("[", -far[row, i], -near[row, i], ")", pool.negative[row, i])
            for i in np.flatnonzero(pool.negative[row])[::-1]
        ]
        if pool.zero_count[row]:
            wide = pool.zero_threshold[row]
            parts.append(_bucket("[", -wide, wide, "]", pool.zero_count[row]))
        parts += [
            _bucket(
                "[" if np.isneginf(lower[row, i]) else "(",
                lower[row, i],
                upper[row, i],
                "]",
                pool.positive[row, i],
            )
            for i in np.flatnonzero(pool.positive[row])
        ]
        out.append("{" + ", ".join(parts) + "}")
    return out


def _bucket(opening: str, low: float, high: float, closing: str, count: float) -> str:
    edges = f"{format_g(float(low))},{format_g(float(high))}"
    return f"{opening}{edges}{closing}:{format_g(float(count))}"

"""Native histogram literals of the test scripts, one object each, and the columns made of them."""

import math
import re
from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from model.histogram.pool import CUSTOM_SCHEMA, HistogramPool

HINTS = ("unknown", "reset", "not_reset", "gauge")


class Hist(Struct, frozen=True):
    """One float histogram; buckets by index."""

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero_count: float = 0.0
    zero_threshold: float = 0.0
    positive: dict[int, float] = field(default_factory=dict)
    negative: dict[int, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    hint: str = "unknown"
    hint_set: bool = False


def number(text: str) -> float:
    """Read a number of a script; hexadecimal is none."""
    return float(text)


def parse_histogram(text: str) -> Hist:
    """Read what stands between the double braces."""
    found = dict(re.findall(r"(\w+):(\[[^\]]*\]|\S+)", text))

    def buckets(key: str, offset: str) -> dict[int, float]:
        values = found.get(key, "[]")[1:-1].split()
        start = int(found.get(offset, "0"))
        return {start + i: number(v) for i, v in enumerate(values)}

    return Hist(
        schema=int(found.get("schema", "0")),
        count=number(found.get("count", "0")),
        sum=number(found.get("sum", "0")),
        zero_count=number(found.get("z_bucket", "0")),
        zero_threshold=number(found.get("z_bucket_w", "0")),
        positive=buckets("buckets", "offset"),
        negative=buckets("n_buckets", "n_offset"),
        bounds=tuple(map(number, found.get("custom_values", "[]")[1:-1].split())),
        hint=found.get("counter_reset_hint", "unknown"),
        hint_set="counter_reset_hint" in found,
    )


def _merged(buckets: dict[int, float], fine: int, coarse: int) -> dict[int, float]:
    out: dict[int, float] = {}
    for index, count in buckets.items():
        target = math.ceil(index / 2 ** (fine - coarse))
        out[target] = out.get(target, 0.0) + count
    return out


def add(left: Hist, right: Hist, sign: float) -> Hist:
    """Add histograms as a script's expansion does: the right one may be finer."""
    extra = (right.positive, right.negative)
    if right.schema != left.schema:
        extra = tuple(_merged(b, right.schema, left.schema) for b in extra)  # type: ignore[assignment]  # two of them
    sums = []
    for mine, other in zip((left.positive, left.negative), extra, strict=True):
        keys = sorted({*mine, *other})
        sums.append({k: mine.get(k, 0.0) + sign * other.get(k, 0.0) for k in keys})
    return replace(
        left,
        count=left.count + sign * right.count,
        sum=left.sum + sign * right.sum,
        zero_count=left.zero_count + sign * right.zero_count,
        zero_threshold=max(left.zero_threshold, right.zero_threshold),
        positive=sums[0],
        negative=sums[1],
        hint=_added_hint(left, right, sign),
        hint_set=right.hint_set,
    )


def _added_hint(left: Hist, right: Hist, sign: float) -> str:
    """What FloatHistogram.Add and Sub make of two hints."""
    if sign < 0 and "gauge" not in (left.hint, right.hint):
        return left.hint
    if left.hint == right.hint:
        return left.hint
    if "gauge" in (left.hint, right.hint):
        return "gauge"
    return left.hint if right.hint == "unknown" else "unknown"


def to_pool(found: Sequence[Hist]) -> HistogramPool:
    """Lay histograms out in columns."""

    def side(name: str) -> tuple[np.ndarray, np.ndarray]:
        rows = [getattr(h, name) for h in found]
        first = np.array([min(r, default=0) for r in rows], dtype=np.int32)
        width = max((max(r, default=0) - min(r, default=0) + 1 for r in rows), default=1)
        counts = np.zeros((len(rows), width))
        for i, row in enumerate(rows):
            for index, count in row.items():
                counts[i, index - first[i]] = count
        return first, counts

    first, positive = side("positive")
    negative_first, negative = side("negative")
    bounds = np.full((len(found), max((len(h.bounds) for h in found), default=0)), np.nan)
    for i, hist in enumerate(found):
        bounds[i, : len(hist.bounds)] = hist.bounds
    return HistogramPool(
        schema=np.array([h.schema for h in found], dtype=np.int32),
        count=np.array([h.count for h in found], dtype=np.float64),
        sum=np.array([h.sum for h in found], dtype=np.float64),
        zero_count=np.array([h.zero_count for h in found], dtype=np.float64),
        zero_threshold=np.array([h.zero_threshold for h in found], dtype=np.float64),
        hint=np.array([HINTS.index(h.hint) for h in found], dtype=np.int8),
        first=first,
        positive=positive,
        negative_first=negative_first,
        negative=negative,
        bounds=bounds,
    )


def from_pool(pool: HistogramPool, row: int) -> Hist:
    """Read one row of a pool back."""

    def side(first: int, counts: np.ndarray) -> dict[int, float]:
        return {first + i: float(c) for i, c in enumerate(counts.tolist()) if c}

    bounds = pool.bounds[row]
    return Hist(
        schema=int(pool.schema[row]),
        count=float(pool.count[row]),
        sum=float(pool.sum[row]),
        zero_count=float(pool.zero_count[row]),
        zero_threshold=float(pool.zero_threshold[row]),
        positive=side(int(pool.first[row]), pool.positive[row]),
        negative=side(int(pool.negative_first[row]), pool.negative[row]),
        bounds=tuple(bounds[~np.isnan(bounds)].tolist())
        if pool.schema[row] == CUSTOM_SCHEMA
        else (),
        hint=HINTS[int(pool.hint[row])],
    )


def near(a: float, b: float) -> bool:
    """Compare as the scripts' README says."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if a == b:
        return True
    if math.isinf(a) or math.isinf(b):
        return False
    smallest = 2.2250738585072014e-308
    away = abs(a - b)
    if a == 0 or b == 0 or abs(a) + abs(b) < smallest:
        return away < 1e-6 * smallest
    return away / min(abs(a) + abs(b), 1.7976931348623157e308) < 1e-6


def same(want: Hist, got: Hist) -> bool:
    """Tell whether two histograms are equal; the hint counts only where the script names one."""
    numbers = ("count", "sum", "zero_count", "zero_threshold")
    if want.schema != got.schema or not all(
        near(getattr(want, n), getattr(got, n)) for n in numbers
    ):
        return False
    if want.hint_set and want.hint != got.hint:
        return False
    if len(want.bounds) != len(got.bounds) or not all(map(near, want.bounds, got.bounds)):
        return False
    for name in ("positive", "negative"):
        mine = {k: v for k, v in getattr(want, name).items() if v}
        theirs = {k: v for k, v in getattr(got, name).items() if v}
        if mine.keys() != theirs.keys() or not all(near(mine[k], theirs[k]) for k in mine):
            return False
    return True

"""Warnings and infos of one query: each text once, with the place it was first about."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from promql.ast import Expr
from promql.text import format_g, position, quote

WARNING: Final = "PromQL warning: "
INFO: Final = "PromQL info: "
_MONOTONICITY: Final = (
    INFO + "input to histogram_quantile needed to be fixed for monotonicity (see "
    "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


@dataclass(slots=True)
class Monotonicity:
    """How far classic buckets were from rising, over all samples that had to be mended."""

    start: int
    min_ms: int
    max_ms: int
    min_bucket: float
    max_bucket: float
    max_diff: float
    count: int

    def render(self, text: str, query: str) -> str:
        """Return the info's text."""
        first, last = (
            datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for ms in (self.min_ms, self.max_ms)
        )
        return (
            f"{text}, from buckets {format_g(self.min_bucket)} to {format_g(self.max_bucket)}, "
            f"with a max diff of {self.max_diff:.2g}, over {self.count} samples "
            f"from {first} to {last} ({position(query, self.start)})"
        )


@dataclass(slots=True)
class Annotations:
    """Collects; ``render`` gives the texts as the HTTP API shows them."""

    _places: dict[str, int] = field(default_factory=dict)
    _monotonicity: dict[str, Monotonicity] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def warn(self, text: str, node: Expr) -> None:
        """Add a warning about a node."""
        self._places.setdefault(WARNING + text, node.start)

    def info(self, text: str, node: Expr) -> None:
        """Add an info about a node."""
        self._places.setdefault(INFO + text, node.start)

    def warn_counted(self, text: str, node: Expr, count: int) -> None:
        """Add a warning that tells how often it occurred."""
        self.warn(text, node)
        self._counts[WARNING + text] = self._counts.get(WARNING + text, 0) + count

    def forced_monotonicity(self, metric: str, found: Monotonicity) -> None:
        """Add what had to be mended in the buckets of one metric."""
        text = _MONOTONICITY + (f" for metric name {quote(metric)}" if metric else "")
        known = self._monotonicity.setdefault(text, found)
        if known is not found:
            known.min_ms = min(known.min_ms, found.min_ms)
            known.max_ms = max(known.max_ms, found.max_ms)
            known.min_bucket = min(known.min_bucket, found.min_bucket)
            known.max_bucket = max(known.max_bucket, found.max_bucket)
            known.max_diff = max(known.max_diff, found.max_diff)
            known.count += found.count

    def render(self, query: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return ``(warnings, infos)``."""
        texts = []
        for text, start in self._places.items():
            count = self._counts.get(text, 1)
            times = f" ({count} occurrences)" if count > 1 else ""
            texts.append(f"{text}{times} ({position(query, start)})")
        texts += [found.render(text, query) for text, found in self._monotonicity.items()]
        warnings = tuple(text for text in texts if text.startswith(WARNING))
        return warnings, tuple(text for text in texts if text.startswith(INFO))

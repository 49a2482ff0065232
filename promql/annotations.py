"""Warnings and infos of one query: each text once, with the place it was last about."""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, field

from promql.ast import Expr, Subquery, unwrap
from promql.text import format_g, position, quote

WARNING: Final = "PromQL warning: "
INFO: Final = "PromQL info: "
_MONOTONICITY: Final = (
    INFO + "input to histogram_quantile needed to be fixed for monotonicity (see "
    "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


def place_of(node: Expr) -> int:
    """Return where a note about a node points: inside parentheses; a sub-query has no place in Prometheus."""
    node = unwrap(node)
    return 0 if isinstance(node, Subquery) else node.start


class Monotonicity(Struct):
    """How far classic buckets were from rising, over all samples that had to be mended."""

    start: int
    min_ms: int
    max_ms: int
    min_bucket: float
    max_bucket: float
    max_diff: float
    count: int

    def merge(self, other: "Monotonicity") -> None:
        """Take in another one, its count apart."""
        self.min_ms = min(self.min_ms, other.min_ms)
        self.max_ms = max(self.max_ms, other.max_ms)
        self.min_bucket = min(self.min_bucket, other.min_bucket)
        self.max_bucket = max(self.max_bucket, other.max_bucket)
        self.max_diff = max(self.max_diff, other.max_diff)

    @property
    def shown_count(self) -> int:
        """The number of samples as a signed 64-bit number, which it overflows in long range queries."""
        return (self.count + 2**63) % 2**64 - 2**63

    def render(self, text: str, query: str) -> str:
        """Return the info's text."""
        first, last = (
            datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for ms in (self.min_ms, self.max_ms)
        )
        return (
            f"{text}, from buckets {format_g(self.min_bucket)} to {format_g(self.max_bucket)}, "
            f"with a max diff of {self.max_diff:.2g}, over {self.shown_count} samples "
            f"from {first} to {last} ({position(query, self.start)})"
        )


class Annotations(Struct):
    """Collects; ``render`` gives the texts as the HTTP API shows them."""

    _places: dict[str, int] = field(default_factory=dict)
    _monotonicity: dict[str, Monotonicity] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def warn(self, text: str, node: Expr) -> None:
        """Add a warning about a node."""
        self._places[WARNING + text] = place_of(node)

    def info(self, text: str, node: Expr) -> None:
        """Add an info about a node."""
        self._places[INFO + text] = place_of(node)

    def warn_counted(self, text: str, node: Expr, count: int) -> None:
        """Add a warning that tells how often it occurred."""
        self.warn(text, node)
        self._counts[WARNING + text] = self._counts.get(WARNING + text, 0) + count

    def forced_monotonicity(self, metric: str, found: Monotonicity) -> None:
        """Add what had to be mended in the buckets of one metric."""
        text = _MONOTONICITY + (f" for metric name {quote(metric)}" if metric else "")
        known = self._monotonicity.setdefault(text, found)
        if known is not found:
            known.merge(found)
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

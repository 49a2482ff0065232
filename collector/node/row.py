"""One figure of the host: a metric's name, its labels, its value."""

from collections.abc import Iterable

Pairs = tuple[tuple[str, str], ...]
Row = tuple[str, Pairs, float]
Rows = Iterable[Row]

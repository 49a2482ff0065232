"""What readers of any store share when they count the values of fields."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from model.errors import QueryError
from storage.interface import FacetValue
from storage.logquery.fields import field_name
from storage.logquery.nodes import MESSAGE, TIMESTAMP

MAX_VALUES: Final = 10_000  # values of one field that are told apart


def facet_fields(names: Sequence[str]) -> dict[str, str]:
    """Return the full names of the fields to count the values of, by the names as given.

    Raises:
        QueryError: If there can be no such field, or its values cannot be counted.
    """
    full = {name: field_name(name) for name in names}
    for name, field in full.items():
        if field in (MESSAGE, TIMESTAMP):
            raise QueryError(f"the values of {name} cannot be counted; nearly all are different")
    return full


def top_values(counts: Counter[str], limit: int) -> tuple[FacetValue, ...]:
    """Return the most frequent values, those of one frequency in the order of text."""
    top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return tuple(FacetValue(value, count) for value, count in top)

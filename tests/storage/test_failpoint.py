"""Every place that the code reaches has its name in a list, and the other way round."""

import re
from pathlib import Path

import pytest

from logship.failpoints import PLACES as LOGSHIP
from storage.tsdb.failpoints import PLACES as TSDB

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("folder", "places"), [("storage/tsdb", TSDB), ("logship", LOGSHIP)])
def test_places_are_those_of_the_code(folder: str, places: tuple[str, ...]) -> None:
    """A kill at a place that nobody reaches would prove nothing."""
    code = [path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")]
    reached = {name for text in code for name in re.findall(r"\breach\(\"([\w.]+)\"\)", text)}

    assert set(places) == reached
    assert len(places) == len(set(places))

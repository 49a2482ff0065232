"""What the tests of the store share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.tsdb.opened import Opened


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Give a store in an empty directory."""
    one = Opened(tmp_path / "tsdb")
    yield one
    one.db.stop()

"""What the tests of discovery share."""

import time
from collections.abc import Callable

import pytest

Wait = Callable[[Callable[[], object], str], None]


@pytest.fixture
def wait() -> Wait:
    """Wait until something is so, at most ten seconds."""

    def until(so: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 10
        while not so():
            assert time.monotonic() < deadline, f"not within ten seconds: {what}"
            time.sleep(0.01)

    return until

"""Fixtures of the alert engine's tests."""

from collections.abc import Iterator

import pytest

from tests.alerting.hook import Hook


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A web server that takes notifications, for the time of a test."""
    server = Hook()
    yield server
    server.close()

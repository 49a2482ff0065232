"""The reference pages are what the code says."""

import pytest

from taskscope.reference import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    """``make docs`` would change nothing."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()

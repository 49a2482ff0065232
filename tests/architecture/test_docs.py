"""The reference pages are what the code says."""

import re

import pytest

from taskscope.reference import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    """``make docs`` would change nothing."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_module_that_is_named_is_there() -> None:
    """ARCHITECTURE.md names modules by the end of their path; none of them has moved."""
    text = (DOCS / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.(?:py|js))`", text))
    root = DOCS.parent
    there = {
        path.relative_to(root).as_posix()
        for suffix in ("py", "js")
        for path in root.glob(f"*/**/*.{suffix}")
        if "node_modules" not in path.parts
    }

    assert [
        name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in there)
    ] == []

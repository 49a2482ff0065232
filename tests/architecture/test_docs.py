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


def test_every_test_that_is_named_is_there() -> None:
    """docs/reliability.md names the tests that show what it says; none of them has another name now."""
    text = (DOCS / "reliability.md").read_text(encoding="utf-8")
    module, missing = "", []
    for named, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", text):
        module = named or module
        path = DOCS.parent / module
        if (named or test) and not (path.is_file() and f"def {test}" in path.read_text()):
            missing.append(f"{module}::{test}")

    assert missing == []

"""What the documents and examples say works: links lead somewhere, files pass, queries parse."""

import re
from pathlib import Path

import pytest

from storage.logquery.parser import parse
from tests.e2e.stack import ROOT, cli

DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md")
    for path in ROOT.glob(pattern)
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
_CODE = re.compile(r"`([^`]+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_to_files(document: Path) -> None:
    """Every relative link names a file of the project."""
    links = _LINK.findall((ROOT / document).read_text(encoding="utf-8"))
    targets = [link for link in links if "://" not in link]

    assert [t for t in targets if not (ROOT / document).parent.joinpath(t).exists()] == []


def test_queries_of_the_log_page_parse() -> None:
    """Every query in docs/logs.md is one."""
    text = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    queries = [query for row in rows for query in _CODE.findall(row)]

    assert len(queries) > 15
    for query in queries:
        parse(query)


@pytest.mark.parametrize(
    "words",
    [
        ("config", "examples/taskscope.yml"),
        ("rules", "examples/rules/own.yml"),
    ],
    ids=" ".join,
)
def test_examples_are_good(words: tuple[str, str]) -> None:
    """``taskscope check`` passes them."""
    answer = cli("check", *words)

    assert answer.returncode == 0, answer.stderr
    assert f"{words[1]}: good" in answer.stdout

"""What the documents and examples say works: links lead somewhere, files pass, queries parse."""

import re
from pathlib import Path

import pytest

from model.identity import VOCABULARIES
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


def test_files_that_the_documents_name_are_there() -> None:
    """``docs/ARCHITECTURE.md`` leads readers from file to file; each one exists."""
    words = _CODE.findall((ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8"))
    named = {word for word in words if re.fullmatch(r"[\w/]+\.(py|js)", word)}
    there = {
        path.relative_to(ROOT).as_posix()
        for package in ROOT.iterdir()
        if package.is_dir() and not package.name.startswith(".")
        for suffix in ("py", "js")
        for path in package.rglob(f"*.{suffix}")
    }

    assert len(named) > 40
    assert sorted(n for n in named if not any(f"/{t}".endswith(f"/{n}") for t in there)) == []


def test_the_identity_page_has_the_names_of_the_code() -> None:
    """Prometheus label, ECS field and OpenTelemetry attribute of each field of an identity."""
    text = (ROOT / "docs/specs/identity.md").read_text(encoding="utf-8")
    first_table = text.split("\n\n")[2]
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in first_table.splitlines()]
    by_field = {row[1]: row[2:5] for row in rows[2:]}

    assert set(by_field) == set(VOCABULARIES)
    for field, (label, ecs, resource) in VOCABULARIES.items():
        assert by_field[field][1:] == [ecs, resource]
        assert by_field[field][0] == label if label else by_field[field][0].startswith("none")

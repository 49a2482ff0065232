"""The docs as pages, and the little of Markdown they use."""

from pathlib import Path

import pytest
from flask import Flask

from tests.web.conftest import MakeClient
from web.console import docs, pages
from web.console.docs import DOCS
from web.console.markdown import to_html


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("# A `b`", "<h1>A <code>b</code></h1>"),
        ("one\ntwo", "<p>one two</p>"),
        ("- a\n  goes on\n- b", "<ul><li>a goes on</li><li>b</li></ul>"),
        ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
        ("these:\n- a", "<p>these:</p>\n<ul><li>a</li></ul>"),
        ("```\n<b> # no\n```", "<pre>&lt;b&gt; # no</pre>"),
        ("**x** [y](z.md)", '<p><strong>x</strong> <a href="z.md">y</a></p>'),
        ("`[a](b)` `**c**`", "<p><code>[a](b)</code> <code>**c**</code></p>"),
        (
            "| a |\n|---|\n| `2` |",
            "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td><code>2</code></td></tr></tbody></table>",
        ),
        ("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>"),
        ("[x](javascript:alert)", "<p>x</p>"),
        ('[x](a"onclick="b)', "<p>x</p>"),
        ("\x000\x00 `a`", "<p>0 <code>a</code></p>"),
        ("", ""),
    ],
)
def test_markdown_becomes_html(text: str, want: str) -> None:
    """What our docs use; everything else is text."""
    assert to_html(text) == want


def test_every_runbook_is_a_page(make_client: MakeClient) -> None:
    """Where an alert's link leads."""
    client = make_client()
    runbooks = sorted((DOCS / "runbooks").glob("*.md"))
    assert runbooks
    for path in runbooks:
        answer = client.get(f"/docs/runbooks/{path.name}")
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        assert answer.status_code == 200
        assert f"<h1>{title}</h1>" in answer.text


@pytest.mark.parametrize("path", ["nothing.md", "../secret.md", "%2e%2e/secret.md", "secret.txt"])
def test_only_docs_are_served(tmp_path: Path, path: str) -> None:
    """Nothing above the folder, nothing that is no Markdown."""
    (tmp_path / "secret.md").write_text("# secret")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "secret.txt").write_text("secret")
    app = Flask("web", template_folder="templates")
    app.register_blueprint(docs.blueprint(tmp_path / "docs"))
    app.context_processor(lambda: {"version": "", "pages": pages.PAGES, "built": True})

    assert app.test_client().get(f"/docs/{path}").status_code == 404

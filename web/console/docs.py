"""The docs that alerts link to, ``/docs/runbooks/<alert>.md``, where they came with Taskscope."""

from pathlib import Path
from typing import Final

from flask import Blueprint, render_template
from markupsafe import Markup
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from web.console.markdown import to_html

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"


def blueprint(folder: Path = DOCS) -> Blueprint:
    """Make the endpoint; only Markdown files below the folder are served."""
    routes = Blueprint("docs", __name__)

    @routes.get("/docs/<path:name>.md")
    def document(name: str) -> str:
        path = safe_join(str(folder), f"{name}.md")
        try:
            text = Path(path or "").read_text(encoding="utf-8")
        except OSError as error:
            raise NotFound from error
        title = text.partition("\n")[0].lstrip("# ").strip()
        # our own files, escaped by to_html
        return render_template("docs.html", page="docs", title=title, text=Markup(to_html(text)))  # noqa: S704

    return routes

"""The shells of the console's pages; what they show comes from the APIs."""

from pathlib import Path
from typing import Final

from flask import Blueprint, Response, make_response, render_template

from model.clock import now_ms
from web.parts import Parts

# what web/build.py brings; without it graphs cannot be drawn
BUILT: Final = Path(__file__).resolve().parents[1] / "static/vendor/uplot/uPlot.esm.js"
# path, name of the template and the JavaScript module, title
PAGES: Final = (
    ("/", "tasks", "Tasks"),
    ("/logs", "logs", "Logs"),
    ("/alerts", "alerts", "Alerts"),
    ("/query", "query", "Query"),
    ("/status", "status", "Status"),
)


def blueprint(parts: Parts) -> Blueprint:
    """Make the pages."""
    routes = Blueprint("pages", __name__)

    def shell(name: str, title: str, **values: str) -> str:
        # the console's graphs begin with a range that is not empty
        oldest = parts.oldest_ms()
        since = now_ms(parts.clock) if oldest is None else oldest
        return render_template(f"{name}.html", page=name, title=title, oldest_ms=since, **values)

    built = BUILT.exists()

    @routes.app_context_processor
    def everywhere() -> dict[str, object]:
        return {"version": parts.version, "pages": PAGES, "built": built}

    for path, name, title in PAGES:
        routes.add_url_rule(path, name, shell, defaults={"name": name, "title": title})

    @routes.get("/tasks/<path:task_id>")
    def task(task_id: str) -> str:
        return shell("task", "Task", task_id=task_id)

    @routes.get("/favicon.ico")
    def favicon() -> Response:
        response = make_response("", 301)
        response.headers["Location"] = "/static/icon.svg"
        return response

    return routes


def not_found() -> Response:
    """Return the page for an address that is none."""
    return make_response(render_template("not_found.html", page="", title="Not found"), 404)

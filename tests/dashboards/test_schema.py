"""Every dashboard against the JSON Schemas made from Grafana's own types."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from dashboards.grafana import Page, render
from dashboards.queries import panels
from dashboards.registry import DASHBOARDS


@pytest.fixture
def schemas(shared: Path) -> Path:
    """Where the schemas are."""
    return shared / "grafana-schema"


def _schema(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(path.read_text())
    threshold = schema["definitions"].get("Threshold")
    if threshold:
        threshold["properties"]["value"] = {"type": ["number", "null"]}  # null is the base
    return schema


def _errors(schema: dict[str, Any], value: Any) -> list[str]:
    found = Draft7Validator(schema).iter_errors(value)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]


def _without_required(schema: Any) -> Any:
    """Grafana fills in what options leave out."""
    if isinstance(schema, dict):
        return {k: _without_required(v) for k, v in schema.items() if k != "required"}
    if isinstance(schema, list):
        return [_without_required(one) for one in schema]
    return schema


@pytest.fixture(params=DASHBOARDS, ids=lambda page: page().uid)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each dashboard as JSON."""
    page: Page = request.param()
    return render(page)


def test_dashboard_fits_the_schema(dashboard: dict[str, Any], schemas: Path) -> None:
    """The dashboard without its panels, which are judged one by one, is what Grafana knows."""
    of_data_source = {"expr", "step", "titleFormat", "textFormat"}  # the plugin's, not Grafana's
    annotations = [
        {key: value for key, value in one.items() if key not in of_data_source}
        for one in dashboard["annotations"]["list"]
    ]
    bare = {**dashboard, "panels": [], "annotations": {"list": annotations}}

    assert _errors(_schema(schemas / "dashboard.json"), bare) == []


def test_panels_fit_the_schema(dashboard: dict[str, Any], schemas: Path) -> None:
    """Each panel has only fields Grafana knows, of the right types."""
    schema = _schema(schemas / "dashboard.json")
    errors = []
    for panel in panels(dashboard["panels"]):
        branch = "RowPanel" if panel["type"] == "row" else "Panel"
        one = {**schema, "$ref": f"#/definitions/{branch}"}
        errors += [f"{panel['title']}: {error}" for error in _errors(one, panel)]

    assert errors == []


def test_options_and_field_config_fit_the_panel_type(
    dashboard: dict[str, Any], schemas: Path
) -> None:
    """Options and custom field settings are those of the panel's own type."""
    errors = []
    for panel in panels(dashboard["panels"]):
        parts = {
            "Options": panel.get("options"),
            "FieldConfig": panel.get("fieldConfig", {}).get("defaults", {}).get("custom"),
        }
        for kind, value in parts.items():
            path = schemas / f"{panel['type']}.{kind}.json"
            if value is None or not path.exists():
                continue
            schema = _without_required(_schema(path))
            errors += [f"{panel['title']} {kind}: {error}" for error in _errors(schema, value)]

    assert errors == []

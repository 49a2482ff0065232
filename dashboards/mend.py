"""What grafanalib 0.7.1 writes, as Grafana 11 and 12 want it.

grafanalib is frozen and writes the model of an older Grafana: fields that are gone, wrong types,
defaults that make graphs coarse. Each function here mends one thing; tests/dashboards/test_mend.py
holds a test for each.
"""

from typing import Any, Final

Json = dict[str, Any]

# 39 is Grafana 11's; later versions migrate it by themselves, a lower one is refused or loses fields.
SCHEMA_VERSION: Final = 39
_GONE_FROM_DASHBOARD: Final = (
    "__inputs",
    "gnetId",
    "hideControls",
    "id",
    "rows",
    "sharedCrosshair",
    "style",
)
_GONE_FROM_PANEL: Final = (
    "color",
    "columns",
    "editable",
    "error",
    "fontSize",
    "height",
    "mappings",
    "minSpan",
    "span",
)
_GONE_FROM_TARGET: Final = ("metric", "query", "step", "target")
_GONE_FROM_VARIABLE: Final = (
    "auto",
    "auto_count",
    "auto_min",
    "tagValuesQuery",
    "tagsQuery",
    "useTags",
)
_SHARED_CROSSHAIR: Final = 1
_ROW_FIELDS: Final = ("collapsed", "gridPos", "id", "panels", "title", "type")


def mend(dashboard: Json) -> Json:
    """Return the dashboard as Grafana wants it; the argument is left alone."""
    mended = {key: value for key, value in dashboard.items() if key not in _GONE_FROM_DASHBOARD}
    mended["schemaVersion"] = SCHEMA_VERSION
    mended["graphTooltip"] = _SHARED_CROSSHAIR
    mended["refresh"] = "30s"
    mended["editable"] = False
    mended["timezone"] = "browser"
    mended["timepicker"] = {}
    mended["liveNow"] = False
    mended["panels"] = [mend_panel(panel) for panel in dashboard["panels"]]
    variables = [mend_variable(variable) for variable in dashboard["templating"]["list"]]
    mended["templating"] = {"list": variables}
    without: Json = drop_nulls(mended)
    return without


def mend_panel(panel: Json) -> Json:
    """Return one panel as Grafana wants it."""
    if panel["type"] == "row":
        row = {key: panel[key] for key in _ROW_FIELDS}
        row["panels"] = [mend_panel(inner) for inner in panel["panels"]]
        return row
    mended = {key: value for key, value in panel.items() if key not in _GONE_FROM_PANEL}
    del mended["maxDataPoints"]  # 100 unless told otherwise; without it a point for each pixel
    mended["fieldConfig"] = _field_config(panel)
    mended["options"] = _options(panel)
    mended["targets"] = [mend_target(target) for target in panel["targets"]]
    return mended


def mend_target(target: Json) -> Json:
    """Return one query as Grafana wants it; only Prometheus's come from grafanalib's ``Target``."""
    if "expr" not in target:
        return target
    mended = {key: value for key, value in target.items() if key not in _GONE_FROM_TARGET}
    mended["intervalFactor"] = 1  # 2 doubles the step but not $__rate_interval: half goes unseen
    mended["range"] = not target["instant"]
    mended["editorMode"] = "code"
    mended["exemplar"] = False
    if not target["interval"]:
        del mended["interval"]
    return mended


def mend_variable(variable: Json) -> Json:
    """Return one template variable as Grafana wants it."""
    mended = {key: value for key, value in variable.items() if key not in _GONE_FROM_VARIABLE}
    current = dict(variable["current"])
    current.pop("tags", None)
    if current.get("value") == "All":
        current["value"] = "$__all"
    if current.get("value") is None:
        del mended["current"]
    else:
        mended["current"] = current
    return mended


def drop_nulls(value: Any, *, keep: bool = False) -> Any:
    """Return the value without null members, except where null means something: a threshold's base."""
    if isinstance(value, dict):
        return {
            key: drop_nulls(inner, keep=key == "steps")
            for key, inner in value.items()
            if inner is not None or (keep and key == "value")
        }
    if isinstance(value, list):
        return [drop_nulls(inner, keep=keep) for inner in value]
    return value


def _field_config(panel: Json) -> Json:
    config = panel["fieldConfig"]
    defaults = dict(config["defaults"])
    thresholds = defaults.pop("thresholds", None) or {}
    # an empty text where a list belongs breaks the panel; no thresholds are best left out
    if isinstance(thresholds.get("steps"), list) and thresholds["steps"]:
        defaults["thresholds"] = thresholds
    if defaults.get("noValue") == "none":
        del defaults["noValue"]
    if panel["type"] == "table":
        # grafanalib puts these at the panel's root, where nobody looks
        defaults["mappings"] = panel.get("mappings", [])
        defaults["color"] = panel.get("color")
    custom = dict(defaults.get("custom") or {})
    if "displayMode" in custom:
        custom["cellOptions"] = {"type": custom.pop("displayMode")}
        custom.setdefault("inspect", False)
    if "stacking" in custom and not custom["stacking"]:
        custom["stacking"] = {"mode": "none", "group": "A"}
    distribution = custom.get("scaleDistribution")
    if distribution and distribution["type"] == "linear":
        custom["scaleDistribution"] = {"type": "linear"}
    hide = custom.get("hideFrom")
    if hide:
        custom["hideFrom"] = {"tooltip": False, "viz": False, "legend": False, **hide}
    defaults["custom"] = custom
    return {"defaults": defaults, "overrides": config.get("overrides", [])}


def _options(panel: Json) -> Json:
    options = dict(panel["options"])
    if "legend" in options:
        shown = options["legend"]["displayMode"] != "hidden"
        mode = options["legend"]["displayMode"] if shown else "list"
        legend = {"calcs": [], **options["legend"], "displayMode": mode, "showLegend": shown}
        options["legend"] = legend
    if panel["type"] == "stat":
        options.setdefault("wideLayout", True)
        options.setdefault("showPercentChange", False)
        options.setdefault("percentChangeColorMode", "standard")
    if panel["type"] == "table":
        options.setdefault("cellHeight", "sm")
        options.setdefault("frameIndex", 0)
    if panel["type"] == "logs":
        options.setdefault("showLogContextToggle", True)
        options.setdefault("enableInfiniteScrolling", True)
    if "tooltip" in options:
        options["tooltip"] = {"sort": "none", **options["tooltip"]}
    return options

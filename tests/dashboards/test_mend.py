"""Each trap of grafanalib 0.7.1: what it writes is shown to be wrong, what we write to be right."""

import json
from typing import Any

import pytest
from grafanalib import core
from grafanalib._gen import DashboardEncoder

from dashboards.grafana import Page, Query, Row, Step, Variable, render
from dashboards.mend import drop_nulls, mend, mend_panel, mend_target, mend_variable
from dashboards.panels import log_volume, logs, stat, table, timeseries

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def raw(thing: Any) -> dict[str, Any]:
    """Return what grafanalib itself writes."""
    written: dict[str, Any] = json.loads(json.dumps(thing, cls=DashboardEncoder))
    return written


def panel(kind: Any, **values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a panel as grafanalib writes it, and mended."""
    before = raw(kind(title="t", dataSource=SOURCE, **values))
    return before, mend_panel(before)


def page(*items: Any, variables: tuple[Variable, ...] = ()) -> dict[str, Any]:
    """Return a whole dashboard with these panels."""
    return render(Page("uid", "title", "text", [Row("row", items)], variables))


def test_schema_version_is_recent() -> None:
    """Grafana drops fields of, or refuses, the version that grafanalib writes."""
    before = raw(core.Dashboard(title="t"))

    assert before["schemaVersion"] == 12
    assert mend(before)["schemaVersion"] >= 39


def test_legacy_fields_of_the_dashboard_go() -> None:
    """Fields that Grafana has removed are not written; its defaults are ours."""
    before = raw(core.Dashboard(title="t"))
    after = mend(before)

    gone = {"style", "hideControls", "sharedCrosshair", "rows", "gnetId", "__inputs", "id"}
    assert gone <= set(before)
    assert not gone & set(after)
    assert (after["editable"], after["refresh"], after["graphTooltip"]) == (False, "30s", 1)
    assert (after["timepicker"], after["liveNow"]) == ({}, False)


def test_graphs_are_not_coarse() -> None:
    """Grafanalib's 100 points for a graph go; Grafana takes one for each pixel."""
    before, after = panel(core.TimeSeries)

    assert before["maxDataPoints"] == 100
    assert "maxDataPoints" not in after


@pytest.mark.parametrize("field", ["span", "minSpan", "height", "error", "editable"])
def test_legacy_fields_of_panels_go(field: str) -> None:
    """Fields of the grid before the last are not written."""
    before, after = panel(core.Table)

    assert field in before
    assert field not in after


def test_stat_without_thresholds_is_valid() -> None:
    """A text where the list of steps belongs, and the word none for no value, both go."""
    before, after = panel(core.Stat)
    defaults = after["fieldConfig"]["defaults"]

    assert before["fieldConfig"]["defaults"]["thresholds"]["steps"] == ""
    assert before["fieldConfig"]["defaults"]["noValue"] == "none"
    assert "thresholds" not in defaults
    assert "noValue" not in defaults


def test_stat_keeps_its_steps_and_their_base() -> None:
    """Thresholds are a list whose first value is null, which survives dropping nulls."""
    found = page(stat("t", "d", Query("up"), steps=(Step(None, "green"), Step(1, "red"))))
    steps = found["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["steps"]

    assert steps == [{"value": None, "color": "green"}, {"value": 1, "color": "red"}]


def test_time_series_have_whole_stacking_legend_and_scale() -> None:
    """Empty stacking, a legend that does not say whether it is shown, a logarithm of a linear scale."""
    before, after = panel(core.TimeSeries)
    custom, was = (one["fieldConfig"]["defaults"]["custom"] for one in (after, before))

    assert was["stacking"] == {}
    assert custom["stacking"] == {"mode": "none", "group": "A"}
    assert was["scaleDistribution"] == {"type": "linear", "log": 2}
    assert custom["scaleDistribution"] == {"type": "linear"}
    assert "showLegend" not in before["options"]["legend"]
    assert after["options"]["legend"]["showLegend"] is True


def test_hidden_legend_is_hidden_the_new_way() -> None:
    """The display mode hidden is gone; a legend is shown or not."""
    _, after = panel(core.TimeSeries, legendDisplayMode="hidden")

    assert after["options"]["legend"]["showLegend"] is False
    assert after["options"]["legend"]["displayMode"] == "list"


def test_fractions_as_limits() -> None:
    """Grafanalib takes whole numbers only; a graph of ratios may end at any number."""
    found = page(timeseries("t", "d", Query("up"), unit="percentunit", maximum=0.5))

    with pytest.raises(TypeError):
        core.TimeSeries(valueMax=0.5)
    assert found["panels"][1]["fieldConfig"]["defaults"]["max"] == 0.5


def test_table_settings_are_where_grafana_looks() -> None:
    """Colour and mappings go from the panel's root into the field configuration, the display mode into cells."""
    before, after = panel(core.Table, displayMode="color-text", mappings=[{"type": "value"}])
    defaults = after["fieldConfig"]["defaults"]

    assert {"color", "mappings", "columns", "fontSize"} <= set(before)
    assert not {"color", "mappings", "columns", "fontSize"} & set(after)
    assert defaults["mappings"] == [{"type": "value"}]
    assert defaults["color"] == {"mode": "thresholds"}
    assert defaults["custom"]["cellOptions"] == {"type": "color-text"}
    assert "displayMode" not in defaults["custom"]


def test_targets_have_todays_fields_and_an_interval_factor_of_one() -> None:
    """Legacy fields go; a factor of two would double the step but not the rate interval."""
    before = raw(core.Target(expr="up", refId="A"))
    after = mend_target(before)

    assert before["intervalFactor"] == 2
    assert after["intervalFactor"] == 1
    assert {"query", "metric", "step", "target"} <= set(before)
    assert not {"query", "metric", "step", "target", "interval"} & set(after)
    assert (after["range"], after["instant"], after["exemplar"]) == (True, False, False)
    assert mend_target(raw(core.Target(expr="up", instant=True)))["range"] is False


def test_variables_say_all_as_grafana_does() -> None:
    """The default All is $__all, the legacy fields of tags and intervals go."""
    before = raw(core.Template(name="n", query="q", default="All", label="N"))
    after = mend_variable(before)

    assert before["current"]["value"] == "All"
    assert after["current"] == {"selected": True, "text": "All", "value": "$__all"}
    assert {"useTags", "tagsQuery", "auto", "auto_min"} <= set(before)
    assert not {"useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count"} & set(
        after
    )


def test_variables_refer_to_their_source_and_match_anything_for_all() -> None:
    """A variable has a label, a data source by uid, a value for All, and is asked again with the time range."""
    found = page(variables=(Variable("app", "App", "label_values(app)"),))["templating"]["list"][-1]

    assert found["datasource"] == SOURCE
    assert (found["label"], found["allValue"], found["refresh"]) == ("App", ".+", 2)
    assert (found["multi"], found["includeAll"]) == (True, True)


def test_every_panel_has_its_place() -> None:
    """Grafanalib leaves the place null; panels flow from left to right and rows are as high as their highest."""
    items = [
        timeseries(str(i), "d", Query("up"), unit="s", width=w, height=h)
        for i, (w, h) in enumerate([(12, 8), (12, 4), (24, 6)])
    ]
    found = [p["gridPos"] for p in page(*items)["panels"]]

    assert raw(core.TimeSeries())["gridPos"] is None
    assert [(p["x"], p["y"], p["w"], p["h"]) for p in found] == [
        (0, 0, 24, 1),
        (0, 1, 12, 8),
        (12, 1, 12, 4),
        (0, 9, 24, 6),
    ]


def test_log_panels_ask_elasticsearch_for_log_lines() -> None:
    """Grafanalib has no such target: metrics of type logs, no buckets, both as Grafana's own query has them."""
    found = page(logs("t", "d", 'app:shop "timed out"'))["panels"][1]
    (target,) = found["targets"]

    assert target["metrics"] == [{"id": "1", "type": "logs", "settings": {"limit": "500"}}]
    assert target["bucketAggs"] == []
    assert target["query"] == 'service.name:shop AND message:"timed out"'
    assert target["taskscope"]["query"] == 'app:shop "timed out"'
    assert target["datasource"] == found["datasource"]
    assert found["datasource"] == {"type": "elasticsearch", "uid": "${logs}"}
    assert found["options"]["showLogContextToggle"] is True
    assert found["options"]["enableInfiniteScrolling"] is True


def test_elasticsearch_aggregations_have_ids_of_their_own() -> None:
    """Grafanalib gives every aggregation the id 0, on which Grafana's backend panics."""
    (target,) = page(log_volume("t", "d", "", width=12))["panels"][1]["targets"]
    ids = [one["id"] for one in (*target["metrics"], *target["bucketAggs"])]
    (terms,) = (one for one in target["bucketAggs"] if one["type"] == "terms")

    assert ids == ["1", "2", "3"]
    assert (terms["settings"]["size"], terms["settings"]["orderBy"]) == ("10", "_key")


def test_columns_of_a_table_have_names_and_units() -> None:
    """Each query of a table is a column with its own unit; one without a name is hidden."""
    found = page(
        table(
            "t",
            "d",
            ("CPU", "s", Query("a")),
            ("Memory", "bytes", Query("b")),
            ("", "none", Query("c")),
            by=("app",),
        )
    )["panels"][1]
    organize = found["transformations"][1]["options"]

    assert [target["format"] for target in found["targets"]] == ["table"] * 3
    assert organize["renameByName"] == {"Value #A": "CPU", "Value #B": "Memory"}
    assert organize["excludeByName"] == {"Time": True, "Value #C": True}
    assert [o["matcher"]["options"] for o in found["fieldConfig"]["overrides"]] == ["CPU", "Memory"]


def test_nulls_go_except_where_they_mean_something() -> None:
    """Null members are dropped at any depth, but not the base of thresholds."""
    value = {"a": None, "b": [{"c": None, "d": 1}], "steps": [{"value": None, "color": None}]}

    assert drop_nulls(value) == {"b": [{"d": 1}], "steps": [{"value": None}]}

"""Runs unit tests of rules, in promtool's format, on our own engine."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from alerting.alert_store import AlertStore
from alerting.alerting_rule import TemplateContext
from alerting.group import GroupRun, Surroundings
from alerting.loading import load_groups
from alerting.metrics import AlertingMetrics
from alerting.query import engine_evaluator
from alerting.rule import AlertingRule, Vector
from configfile.duration import parse_duration
from model.alert import AlertState
from model.labels import Labels
from model.samples import stale_markers
from promql.engine import Engine
from promql.parser import parse, parse_selector
from tests.fakes.store import MemoryStore

Found = tuple[dict[str, str], dict[str, str]]  # labels, annotations

_ITEM = re.compile(r"^(?P<start>-?[\d.]+|_|stale)(?:(?P<step>[+-][\d.]+))?(?:x(?P<count>\d+))?$")


def values(notation: str) -> list[float | str | None]:
    """Expand promtool's notation: ``1+2x3`` is 1 3 5 7; ``_`` is no sample."""
    out: list[float | str | None] = []
    for item in notation.split():
        match = _ITEM.match(item)
        assert match, item
        count = int(match["count"] or 0)
        if match["start"] == "_":
            out.extend([None] * (count or 1))
        elif match["start"] == "stale":
            out.append("stale")
        else:
            start, step = float(match["start"]), float(match["step"] or 0)
            out.extend(start + step * n for n in range(count + 1))
    return out


def fill(store: MemoryStore, series: str, notation: str, interval_ms: int) -> None:
    """Store one input series, from time 0."""
    labels = Labels.of((m.name, m.value) for m in parse_selector(series))
    [ref] = store.series([labels])
    for index, value in enumerate(values(notation)):
        if value is None:
            continue
        number = stale_markers(1) if value == "stale" else np.array([value], dtype=np.float64)
        store.append_samples(np.array([ref]), np.array([index * interval_ms]), number)


def run_file(path: Path, directory: Path) -> list[str]:
    """Run every test of a file; return what is not as expected."""
    document = yaml.safe_load(path.read_text())
    files = [path.parent / name for name in document["rule_files"]]
    interval = document.get("evaluation_interval", "1m")
    wrong = []
    for number, test in enumerate(document["tests"]):
        wrong += _run_test(test, files, parse_duration(interval), directory / str(number))
    return wrong


def _run_test(test: dict[str, Any], files: list[Path], step_ms: int, directory: Path) -> list[str]:
    store = MemoryStore()
    for series in test["input_series"]:
        fill(store, series["series"], series["values"], parse_duration(test["interval"]))
    around = Surroundings(
        evaluate=engine_evaluator(Engine(), store),
        appender=store,
        store=AlertStore(directory),
        send=lambda alerts: None,
        monotonic=lambda: 0.0,
        metrics=AlertingMetrics(CollectorRegistry()),
        context=TemplateContext(test.get("external_url", ""), test.get("external_labels", {})),
        resend_delay_ms=60_000,
        generator_url=lambda expr: "",
    )
    around.store.open()
    names = {case["alertname"] for case in test["alert_rule_test"]}
    cases = [*test["alert_rule_test"], *test.get("promql_expr_test", ())]
    cases.sort(key=lambda case: parse_duration(case["eval_time"]))
    runs = [
        # without expressions to look at only the alerts asked for count; for speed
        GroupRun(
            replace(
                group,
                rules=tuple(
                    r for r in group.rules if r.name in names or "promql_expr_test" in test
                ),
            ),
            around,
        )
        for group in load_groups(files, parse, step_ms / 1000)
    ]
    wrong: list[str] = []
    now = 0
    for case in cases:
        at = parse_duration(case["eval_time"])
        while now <= at:
            for run in runs:
                run.evaluate(now)
            now += step_ms
        wrong += [
            f"{test['name']}: {rule.rule.name} at {now}: {rule.last_error}"
            for run in runs
            for rule in run.rules
            if rule.last_error
        ]
        got: object
        want: object
        if "expr" in case:
            got, want = _samples(around.evaluate(case["expr"], at)), _expected_samples(case)
        else:
            got, want = _firing(runs, case["alertname"]), _expected(case)
        if got != want:
            what = case.get("expr") or case["alertname"]
            wrong.append(f"{test['name']}: {what} at {case['eval_time']}: {got} is not {want}")
    return wrong


def _samples(found: Vector) -> dict[Labels, float]:
    return dict(zip(found.labels.rows(), map(_rounded, found.values.tolist()), strict=True))


def _rounded(value: float) -> float:
    """Leave out the last bits, as promtool's ``fuzzy_compare`` does."""
    return float(f"{value:.12g}")


def _expected_samples(case: dict[str, Any]) -> dict[Labels, float]:
    return {
        Labels.of((m.name, m.value) for m in parse_selector(sample["labels"])): _rounded(
            sample["value"]
        )
        for sample in case.get("exp_samples", ())
    }


def _firing(runs: list[GroupRun], name: str) -> list[Found]:
    return sorted(
        (
            (dict(alert.labels), dict(alert.annotations))
            for run in runs
            for rule in run.rules
            if isinstance(rule.rule, AlertingRule) and rule.rule.name == name
            for alert in rule.alerts.values()
            if alert.state is AlertState.FIRING
        ),
        key=str,
    )


def _expected(case: dict[str, Any]) -> list[Found]:
    return sorted(
        (
            (
                {**alert["exp_labels"], "alertname": case["alertname"]},
                alert.get("exp_annotations", {}),
            )
            for alert in case.get("exp_alerts", ())
        ),
        key=lambda found: str((dict(sorted(found[0].items())), dict(sorted(found[1].items())))),
    )

"""Scrape targets as Prometheus shows them: ``/api/v1/targets``, ``targets/metadata`` and ``scrape_pools``."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flask import Blueprint, Response, request

from model.clock import now_ms
from model.errors import ParseError
from model.labels import METRIC_NAME, Labels, Matcher, MatchOp
from promql.parser import parse_selector
from storage.interface import Metadata, Queryable
from web.api import params
from web.api.answers import need
from web.api.envelope import success_of
from web.api.numbers import go_number
from web.api.params import BadParameterError
from web.api.rules import go_time
from web.api.selectors import matches
from web.api.series import metadata_json
from web.parts import Parts

_NO_TARGETS: Final = "This process scrapes no targets."
_NONE: Final[Mapping[str, Any]] = {"activeTargets": [], "droppedTargets": []}
_RECENT_MS: Final = 600_000  # what a target has exposed lately is what it exposes
_SUFFIX: Final = re.compile(r"_(?:bucket|count|sum|total|created|info)$")


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("targets", __name__, url_prefix="/api/v1")

    def known() -> Mapping[str, Any]:
        if parts.targets is None and parts.queryable is not None:
            return _NONE  # a server takes what others scrape
        return need(parts.targets, _NO_TARGETS)()

    @routes.get("/targets")
    def targets() -> Response:
        pool = request.args.get("scrapePool", "")
        state = request.args.get("state", "").lower()
        found = known()
        active = found["activeTargets"] if state in ("", "any", "active") else ()
        dropped = found["droppedTargets"] if state in ("", "any", "dropped") else None
        counts = None if dropped is None else _dropped_counts(found)
        chosen = [one for one in active if pool in ("", one["scrapePool"])]
        return success_of(
            {
                "activeTargets": [
                    _active(one) for one in sorted(chosen, key=lambda one: str(one["scrapePool"]))
                ],
                "droppedTargets": [one for one in dropped or () if pool in ("", one["scrapePool"])],
                "droppedTargetCounts": counts,
            }
        )

    @routes.get("/targets/metadata")
    def targets_metadata() -> Response:
        limit = params.asked().plain_limit("limit")
        matchers = _target_matchers()
        found: list[dict[str, Any]] = []
        for target in known()["activeTargets"]:
            labels = Labels.of(target["labels"])
            if 0 <= limit <= len(found):
                break
            if matches(matchers, labels):
                found += _metadata_of(labels, parts.queryable, now_ms(parts.clock))
        return success_of(found)

    @routes.get("/scrape_pools")
    def scrape_pools() -> Response:
        pools = {
            one["scrapePool"]
            for kind in ("activeTargets", "droppedTargets")
            for one in known()[kind]
        }
        return success_of({"scrapePools": sorted(pools)})

    return routes


def _dropped_counts(found: Mapping[str, Any]) -> dict[str, int]:
    counts = {one["scrapePool"]: 0 for one in found["activeTargets"]}
    return counts | Counter(one["scrapePool"] for one in found["droppedTargets"])


def _active(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a target with its fields in Prometheus's order and kind."""
    url = one["scrapeUrl"]
    return {
        "discoveredLabels": one["discoveredLabels"],
        "labels": one["labels"],
        "scrapePool": one["scrapePool"],
        "scrapeUrl": url,
        "globalUrl": one.get("globalUrl", url),
        "lastError": one["lastError"],
        "lastScrape": go_time(round(one.get("lastScrape", 0) * 1000)),
        "lastScrapeDuration": go_number(float(one.get("lastScrapeDuration", 0))),
        "health": one["health"],
        "scrapeInterval": one.get("scrapeInterval", ""),
        "scrapeTimeout": one.get("scrapeTimeout", ""),
    }


def _target_matchers() -> Sequence[Matcher]:
    text = params.asked().text("match_target")
    if not text:
        return ()
    try:
        return parse_selector(text)
    except ParseError as error:
        raise BadParameterError(f'invalid parameter "match_target": {error}') from error


def _metadata_of(labels: Labels, store: Queryable | None, now: int) -> Iterator[dict[str, Any]]:
    """Yield what is known of the metrics that a target has exposed lately, or of the one asked for."""
    if store is None:
        return
    own = [Matcher(name, MatchOp.EQUAL, value) for name, value in labels]
    families = _families(store, own, now)
    metric = params.asked().text("metric")
    for name in sorted(families) if not metric else families.keys() & {metric}:
        named = {} if metric else {"metric": name}
        about = metadata_json(families[name])
        yield {
            "target": dict(labels),
            **named,
            "type": about["type"],
            "help": about["help"],
            "unit": about["unit"],
        }


def _families(store: Queryable, own: Sequence[Matcher], now: int) -> dict[str, Metadata]:
    metadata = store.metadata()
    names = store.label_values(METRIC_NAME, own, now - _RECENT_MS, now)
    spelled = {family for name in names for family in (name, _SUFFIX.sub("", name))}
    return {name: metadata[name] for name in spelled if name in metadata}

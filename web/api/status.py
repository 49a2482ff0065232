"""``/api/v1/status/{buildinfo,runtimeinfo,flags,config,tsdb}``: what operators and clients ask about the server."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response

from model.clock import now_ms, rfc3339
from web.api import params
from web.api.answers import need
from web.api.envelope import success_of
from web.api.params import BadParameterError
from web.parts import Parts

# the release whose API this is; clients decide by it what they may ask
API_VERSION: Final = "3.16.0"
MOST_ROWS: Final = 10_000
_NO_STORE: Final = "This process keeps no series; ask the Taskscope server."
_NO_CONFIG: Final = "This process does not show its configuration."
_INT64_MAX: Final = 2**63 - 1


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("status", __name__, url_prefix="/api/v1/status")
    started_ms = now_ms(parts.clock)

    @routes.get("/buildinfo")
    def buildinfo() -> Response:
        return success_of(
            {
                "version": API_VERSION,
                "revision": f"taskscope-{parts.version}",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": "",
            }
        )

    @routes.get("/runtimeinfo")
    def runtimeinfo() -> Response:
        shown = {
            "startTime": rfc3339(started_ms),
            "CWD": str(Path.cwd()),
            "hostname": "",
            "serverTime": rfc3339(now_ms(parts.clock)),
            "reloadConfigSuccess": True,
            "lastConfigTime": rfc3339(started_ms),
            "corruptionCount": 0,
            "goroutineCount": threading.active_count(),
            "GOMAXPROCS": os.cpu_count() or 1,
            "GOMEMLIMIT": _INT64_MAX,
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": "",
        }
        return success_of(shown | dict(parts.runtime()))

    @routes.get("/flags")
    def flags() -> Response:
        return success_of(dict(sorted(parts.flags().items())))

    @routes.get("/config")
    def config() -> Response:
        return success_of({"yaml": need(parts.config_yaml, _NO_CONFIG)()})

    @routes.get("/tsdb")
    def tsdb() -> Response:
        count = need(parts.cardinality, _NO_STORE)
        return success_of(tsdb_json(count(_rows())))

    return routes


def _rows() -> int:
    raw = params.asked().text("limit")
    rows = params.whole_number(raw or "10")
    if rows is None or rows < 1:
        raise BadParameterError("limit must be a positive number")
    if rows > MOST_ROWS:
        raise BadParameterError(f"limit must not exceed {MOST_ROWS}")
    return rows


def tsdb_json(found: Any) -> Mapping[str, Any]:
    """Return ``storage.tsdb.stats.Cardinality`` with Prometheus's names, and what limits kept out."""
    head = found.head_stats
    return {
        "headStats": {
            "numSeries": head.num_series,
            "numLabelPairs": head.num_label_pairs,
            "chunkCount": head.chunk_count,
            # an empty head has Go's bounds the wrong way round
            "minTime": _INT64_MAX if head.min_time is None else head.min_time,
            "maxTime": -_INT64_MAX - 1 if head.max_time is None else head.max_time,
        },
        "seriesCountByMetricName": _rows_of(found.series_count_by_metric_name),
        "labelValueCountByLabelName": _rows_of(found.label_value_count_by_label_name),
        "memoryInBytesByLabelName": _rows_of(found.memory_in_bytes_by_label_name),
        "seriesCountByLabelValuePair": _rows_of(found.series_count_by_label_value_pair),
        "droppedByTarget": [
            {"target": one.target, "limit": one.limit, "series": one.series}
            for one in found.dropped_by_target
        ],
    }


def _rows_of(pairs: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in pairs]

"""The query API over a store in memory and the real engine."""

import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from model.errors import StorageError
from model.labels import METRIC_NAME, Labels
from promql.engine import Engine, Limits
from storage.interface import Metadata
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore
from tests.web.conftest import MakeClient, body

NOW_MS = FakeClock().now_ns() // 1_000_000
NOW = NOW_MS / 1000


@pytest.fixture
def client(store: MemoryStore, make_client: MakeClient) -> FlaskClient:
    """Return a client over four series with a sample each minute of the last ten."""
    for app, task in (("shop", "a"), ("shop", "b"), ("billing", "c")):
        _put(store, {METRIC_NAME: "requests_total", "app": app, "task_id": task}, 60.0)
    _put(store, {METRIC_NAME: "up", "job": "node"}, 0.0)
    store.set_metadata({"requests_total": Metadata("counter", "Requests.", "")})
    return make_client(queryable=store, engine=Engine())


def _put(store: MemoryStore, labels: dict[str, str], growth: float) -> None:
    refs = np.repeat(store.series([Labels.of(labels)]), 11)
    times = NOW_MS - 60_000 * np.arange(11, dtype=np.int64)[::-1]
    store.append_samples(refs, times, np.arange(11, dtype=np.float64) * growth + 1)


def data(client: FlaskClient, path: str, **parameters: Any) -> Any:
    """Return the data of an answer that must be a success."""
    answer = client.get(f"/api/v1/{path}", query_string=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/json"
    body = json.loads(answer.data)
    assert body["status"] == "success"
    return body["data"]


def test_instant_vector(client: FlaskClient) -> None:
    """Metric, time and value as text."""
    assert data(client, "query", query='sum by (app) (requests_total{app="shop"})', time=NOW) == {
        "resultType": "vector",
        "result": [{"metric": {"app": "shop"}, "value": [NOW, "1202"]}],
    }


def test_time_of_an_instant_query_is_now(client: FlaskClient) -> None:
    """Without ``time`` the server's clock holds."""
    assert data(client, "query", query="1+1") == {"resultType": "scalar", "result": [NOW, "2"]}


def test_string_and_range_vector(client: FlaskClient) -> None:
    """All four result types come through."""
    assert data(client, "query", query='"hi"', time=5) == {
        "resultType": "string",
        "result": [5, "hi"],
    }
    assert data(client, "query", query='up{job="node"}[2m]', time=NOW) == {
        "resultType": "matrix",
        "result": [
            {
                "metric": {"__name__": "up", "job": "node"},
                "values": [[NOW - 60, "1"], [NOW, "1"]],
            }
        ],
    }


def test_range_query(client: FlaskClient) -> None:
    """One series for each app, one point for each step."""
    found = data(
        client,
        "query_range",
        query="sum by (app) (rate(requests_total[2m]))",
        start=NOW - 120,
        end=NOW,
        step="1m",
    )
    points = [[NOW - 120, "1"], [NOW - 60, "1"], [NOW, "1"]]

    assert found == {
        "resultType": "matrix",
        "result": [
            {"metric": {"app": "billing"}, "values": points},
            {"metric": {"app": "shop"}, "values": [[t, "2"] for t, _ in points]},
        ],
    }


def test_post_form_is_the_same_as_get(client: FlaskClient) -> None:
    """Grafana sends forms."""
    form = {"query": "up", "time": str(NOW)}
    posted = client.post("/api/v1/query", data=form)

    assert posted.status_code == 200
    assert posted.data == client.get("/api/v1/query", query_string=form).data


def test_long_query_fits_a_form(client: FlaskClient) -> None:
    """Longer than werkzeug's default for a form field."""
    query = "up # " + 600_000 * "x"
    posted = client.post("/api/v1/query", data={"query": query, "time": NOW})

    assert posted.status_code == 200
    assert len(body(posted)["data"]["result"]) == 1


BAD: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("query", {"query": "sum("}, 400, "bad_data", 'invalid parameter "query": 1:5: parse error'),
    ("query", {}, 400, "bad_data", "parse error"),
    (
        "query",
        {"query": "1", "time": "x"},
        400,
        "bad_data",
        'invalid parameter "time": invalid time value for \'time\': cannot parse "x" to a valid',
    ),
    (
        "query",
        {"query": "1", "timeout": "x"},
        400,
        "bad_data",
        'invalid parameter "timeout": cannot parse "x" to a valid duration',
    ),
    (
        "query",
        {"query": "1", "limit": "-1"},
        400,
        "bad_data",
        'invalid parameter "limit": limit must be non-negative',
    ),
    (
        "query",
        {"query": "1", "timeout": "-1.5"},
        400,
        "bad_data",
        'invalid parameter "timeout": timeout must be positive, got -1.5s',
    ),
    (
        "query_range",
        {"query": "1", "start": 10, "end": 9, "step": 1},
        400,
        "bad_data",
        'invalid parameter "end": end timestamp must not be before start time',
    ),
    (
        "query_range",
        {"query": "1", "start": 0, "end": 9, "step": 0},
        400,
        "bad_data",
        "zero or negative query resolution step widths are not accepted",
    ),
    (
        "query_range",
        {"query": "1", "start": 0, "end": 11_001, "step": 1},
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries",
    ),
    (
        "query_range",
        {"query": "1", "end": 9, "step": 1},
        400,
        "bad_data",
        'invalid parameter "start": cannot parse "" to a valid timestamp',
    ),
    (
        "query_range",
        {"query": "up[1m]", "start": 0, "end": 9, "step": 1},
        400,
        "bad_data",
        'invalid expression type "range vector" for range query',
    ),
    ("series", {}, 400, "bad_data", "no match[] parameter provided"),
    (
        "series",
        {"match[]": '{app=~".*"}'},
        400,
        "bad_data",
        "must contain at least one non-empty matcher",
    ),
    ("labels", {"match[]": "{"}, 400, "bad_data", "1:2: parse error: "),
    ("query_exemplars", {"query": "("}, 400, "bad_data", "parse error"),
    ("nothing", {}, 404, "not_found", ""),
]


@pytest.mark.parametrize(("path", "parameters", "status", "kind", "message"), BAD)
def test_bad_request_is_answered_in_prometheus_words(
    client: FlaskClient,
    path: str,
    parameters: dict[str, Any],
    status: int,
    kind: str,
    message: str,
) -> None:
    """Envelope, type and text."""
    answer = client.get(f"/api/v1/{path}", query_string=parameters)

    assert (answer.status_code, body(answer)["status"]) == (status, "error")
    assert body(answer)["errorType"] == kind
    assert message in body(answer)["error"]


def test_exactly_eleven_thousand_steps_are_answered(client: FlaskClient) -> None:
    """Prometheus's bound is on the distance, so 11,001 points pass."""
    found = data(client, "query_range", query="1", start=0, end=11_000, step=1)

    assert len(found["result"][0]["values"]) == 11_001


def test_query_that_needs_too_much_is_422(store: MemoryStore, make_client: MakeClient) -> None:
    """The engine's limits are execution errors."""
    _put(store, {METRIC_NAME: "up"}, 1.0)
    client = make_client(queryable=store, engine=Engine(Limits(max_samples=5)))
    answer = client.get("/api/v1/query", query_string={"query": "up[20m]", "time": NOW})

    assert (answer.status_code, body(answer)["errorType"]) == (422, "execution")


def test_store_that_cannot_be_read_is_500(make_client: MakeClient) -> None:
    """The file is named, nothing else leaks."""

    class Broken(MemoryStore):
        def select(self, *args: Any) -> Any:
            raise StorageError("blocks/01/frames: bad checksum")

    client = make_client(queryable=Broken(), engine=Engine())
    answer = client.get("/api/v1/query", query_string={"query": "up"})

    assert (answer.status_code, body(answer)["errorType"]) == (500, "internal")
    assert body(answer)["error"] == "blocks/01/frames: bad checksum"


def test_limit_cuts_and_warns(client: FlaskClient) -> None:
    """Prometheus says so in the warnings."""
    answer = client.get("/api/v1/query", query_string={"query": "requests_total", "limit": 2})

    assert len(body(answer)["data"]["result"]) == 2
    assert body(answer)["warnings"] == ["results truncated due to limit"]


def test_annotations_of_a_query_come_along(client: FlaskClient) -> None:
    """A rate over what is named like no counter is remarked on."""
    answer = client.get("/api/v1/query", query_string={"query": "rate(up[5m])", "time": NOW})

    assert answer.status_code == 200
    assert "might not be a counter" in body(answer)["infos"][0]


def test_series(client: FlaskClient) -> None:
    """Several selectors give each series once."""
    found = data(
        client, "series", **{"match[]": ['requests_total{app="shop"}', '{task_id=~"b|c"}']}
    )

    assert [series["task_id"] for series in found] == ["c", "a", "b"]
    assert found[1] == {"__name__": "requests_total", "app": "shop", "task_id": "a"}


def test_series_outside_the_time_are_not_given(client: FlaskClient) -> None:
    """``start`` and ``end`` bound it."""
    assert data(client, "series", **{"match[]": "up", "end": NOW - 3600}) == []


def test_label_names_and_values(client: FlaskClient) -> None:
    """Of all series or of those that match."""
    assert data(client, "labels") == ["__name__", "app", "job", "task_id"]
    assert data(client, "labels", **{"match[]": "up"}) == ["__name__", "job"]
    assert data(client, "label/app/values") == ["billing", "shop"]
    assert data(client, "label/app/values", **{"match[]": 'requests_total{task_id="c"}'}) == [
        "billing"
    ]
    assert data(client, "label/__name__/values", limit=1) == ["requests_total"]
    assert data(client, "label/nothing/values") == []


def test_label_values_take_no_post(client: FlaskClient) -> None:
    """As in Prometheus; Grafana falls back on 405."""
    answer = client.post("/api/v1/label/app/values")

    assert (answer.status_code, body(answer)["status"]) == (405, "error")


def test_metadata(client: FlaskClient) -> None:
    """Type, help and unit of a family."""
    want = {"requests_total": [{"type": "counter", "help": "Requests.", "unit": ""}]}

    assert data(client, "metadata") == want
    assert data(client, "metadata", metric="requests_total") == want
    assert data(client, "metadata", metric="nothing") == {}


def test_what_grafana_asks_first(client: FlaskClient) -> None:
    """Exemplars are none, the version is one that it knows."""
    assert data(client, "query_exemplars", query="test", start=0, end=1) == []
    build = data(client, "status/buildinfo")
    assert build["version"].startswith("3.")
    assert build["revision"] == "taskscope-0.1.0"


def test_process_without_a_store_says_so(make_client: MakeClient) -> None:
    """An agent answers 404 with a sentence."""
    client = make_client()
    for path in ("query?query=1", "labels", "series?match[]=up", "rules", "alerts", "targets"):
        answer = client.get(f"/api/v1/{path}")
        assert (answer.status_code, body(answer)["errorType"]) == (404, "not_found"), path
        assert body(answer)["error"].startswith("This process "), path


def test_unexpected_failure_tells_no_details(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer names the kind, the log has the rest."""

    class Broken(MemoryStore):
        def select(self, *args: Any) -> Any:
            raise RuntimeError("secret detail")

    client = make_client(queryable=Broken(), engine=Engine())
    answer = client.get("/api/v1/query", query_string={"query": "up"})

    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text

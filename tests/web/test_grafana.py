"""Every call that Grafana's Prometheus data source makes, as it makes it (grafana-prometheus-datasource)."""

from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from model.labels import METRIC_NAME, Labels
from promql.engine import Engine
from storage.interface import Metadata
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore
from tests.web.conftest import MakeClient, body

NOW_MS = FakeClock().now_ns() // 1_000_000
NOW = NOW_MS // 1000
MATCH = "match[]"


@pytest.fixture
def client(store: MemoryStore, make_client: MakeClient) -> FlaskClient:
    """Return a client over two targets and a counter."""
    for job, value in (("node", 1.0), ("shop", 0.0)):
        times = NOW_MS - 15_000 * np.arange(20, dtype=np.int64)[::-1]
        for name, values in (("up", np.full(20, value)), ("jobs_total", np.arange(20.0))):
            refs = np.repeat(store.series([Labels.of({METRIC_NAME: name, "job": job})]), 20)
            store.append_samples(refs, times, values)
    store.set_metadata({"jobs_total": Metadata("counter", "Jobs done.", "")})
    return make_client(queryable=store, engine=Engine())


def posted(client: FlaskClient, path: str, **form: Any) -> Any:
    """POST a form as Grafana's backend does and return the data."""
    answer = client.post(
        f"/api/v1/{path}",
        data=form,
        headers={"User-Agent": "Grafana/12.0.0", "Accept-Encoding": "gzip"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/json"
    return body(answer)["data"]


def got(client: FlaskClient, path: str, **parameters: Any) -> Any:
    """GET and return the data."""
    answer = client.get(f"/api/v1/{path}", query_string=parameters)
    assert answer.status_code == 200, answer.text
    return body(answer)["data"]


def test_health_check_adds_one_and_one(client: FlaskClient) -> None:
    """The button "Save & test"."""
    found = posted(client, "query", query="1+1", time="4")

    assert found == {"resultType": "scalar", "result": [4, "2"]}


def test_instant_panel(client: FlaskClient) -> None:
    """The time has a fraction of a second."""
    found = posted(client, "query", query="up", time=f"{NOW}.25", timeout="60s")

    assert [one["value"] for one in found["result"]] == [[NOW + 0.25, "1"], [NOW + 0.25, "0"]]


def test_graph(client: FlaskClient) -> None:
    """Start and end stand on multiples of the step, which is in seconds."""
    found = posted(
        client,
        "query_range",
        query="sum by (job) (rate(jobs_total[1m]))",
        start=str(NOW - 120),
        end=str(NOW),
        step="15",
    )

    assert found["resultType"] == "matrix"
    assert [one["metric"] for one in found["result"]] == [{"job": "node"}, {"job": "shop"}]
    assert [t for t, _ in found["result"][0]["values"]] == list(range(NOW - 120, NOW + 1, 15))


def test_probe_for_exemplars(client: FlaskClient) -> None:
    """Asked once when a data source is loaded; an answer means that there may be some."""
    for find in (posted, got):
        assert find(client, "query_exemplars", query="test", start=NOW - 900, end=NOW) == []


def test_variables(client: FlaskClient) -> None:
    """``label_values(metric, label)``, ``label_values(label)``, ``label_names()`` and ``metrics(pattern)``."""
    window = {"start": NOW - 900, "end": NOW}
    series = posted(client, "series", **{MATCH: "up", **window})

    assert series == [{METRIC_NAME: "up", "job": job} for job in ("node", "shop")]
    assert got(client, "label/job/values", **{MATCH: "up", **window}) == ["node", "shop"]
    assert got(client, "label/job/values", **window) == ["node", "shop"]
    assert posted(client, "labels", **window) == [METRIC_NAME, "job"]
    assert got(client, "labels", **{MATCH: "up", **window}) == [METRIC_NAME, "job"]
    assert got(client, f"label/{METRIC_NAME}/values", **window) == ["jobs_total", "up"]


def test_query_builder(client: FlaskClient) -> None:
    """It looks for names by a pattern, at most so many, and for metadata to hint at ``rate``."""
    pattern = {MATCH: f'{{{METRIC_NAME}=~".*up.*"}}', "limit": 40_000}

    assert got(client, f"label/{METRIC_NAME}/values", **pattern) == ["up"]
    assert got(client, "metadata", limit=40_000)["jobs_total"][0]["type"] == "counter"
    assert list(got(client, "metadata", metric="jobs_total")) == ["jobs_total"]


def test_label_values_by_post_are_refused_with_405(client: FlaskClient) -> None:
    """Grafana then asks by GET."""
    assert client.post("/api/v1/label/job/values").status_code == 405


def test_version_tells_that_labels_can_be_matched(client: FlaskClient) -> None:
    """Before 2.24 it would ask for whole series."""
    version = got(client, "status/buildinfo")["version"]

    assert tuple(map(int, version.split("."))) >= (2, 24, 0)


def test_button_that_formats_a_query(client: FlaskClient) -> None:
    """And what tools ask for its tree."""
    query = "sum(rate(jobs_total[1m]))by(job)"

    assert posted(client, "format_query", query=query) == "sum by (job) (rate(jobs_total[1m]))"
    assert posted(client, "parse_query", query=query)["type"] == "aggregation"


def test_rules_and_alerts(demo_client: FlaskClient) -> None:
    """The alerting pages of data source managed rules, and recording rules to expand."""
    groups = got(demo_client, "rules")["groups"]

    assert [group["name"] for group in groups] == ["tasks", "own"]
    recording = got(demo_client, "rules", type="record")["groups"]
    assert [rule["name"] for group in recording for rule in group["rules"]] == ["app:cpu:rate2m"]
    assert {alert["state"] for alert in got(demo_client, "alerts")["alerts"]} == {
        "firing",
        "pending",
    }


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [("sum(", 400, "bad_data"), ("up + on() up", 422, "execution")],
)
def test_error_carries_type_and_text(
    client: FlaskClient, query: str, status: int, kind: str
) -> None:
    """They are shown above the panel."""
    answer = client.post("/api/v1/query", data={"query": query, "time": NOW})

    assert (answer.status_code, body(answer)["errorType"]) == (status, kind)
    assert body(answer)["error"]


def test_special_values_and_annotations(client: FlaskClient) -> None:
    """Values are texts also where JSON has no number for them; warnings and infos stand beside the data."""
    answer = client.post("/api/v1/query", data={"query": "-up / 0", "time": NOW})
    assert [one["value"][1] for one in body(answer)["data"]["result"]] == ["-Inf", "NaN"]

    answer = client.post("/api/v1/query", data={"query": "rate(up[5m])", "time": NOW})
    assert "might not be a counter" in body(answer)["infos"][0]


def test_operators_endpoints(demo_client: FlaskClient) -> None:
    """Targets, health and readiness."""
    found = got(demo_client, "targets", state="active")

    assert {target["health"] for target in found["activeTargets"]} == {"up", "down"}
    assert got(demo_client, "targets/metadata", match_target='{job="shop"}') == []
    for path in ("/-/healthy", "/-/ready"):
        assert demo_client.get(path).status_code == 200

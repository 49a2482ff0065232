"""Status, targets, exemplars, deletion and the words of PromQL, over made-up parts."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from model.labels import METRIC_NAME, Labels, Matcher, MatchOp
from model.samples import Exemplar
from promql.engine import Engine
from storage.interface import SeriesExemplars
from storage.tsdb.stats import Cardinality, Dropped, HeadStats
from tests.fakes.store import MemoryStore
from tests.web.conftest import MakeClient, body
from web.api.numbers import go_duration
from web.api.series import unescaped
from web.config import QueryConfig

EMPTY = HeadStats(num_series=0, num_label_pairs=0, chunk_count=0, min_time=None, max_time=None)


def got(client: FlaskClient, path: str, **parameters: Any) -> Any:
    """Return the data of an answer that must be a success."""
    answer = client.get(f"/api/v1/{path}", query_string=parameters)
    assert answer.status_code == 200, answer.text
    return body(answer)["data"]


def test_cardinality_has_prometheus_names(make_client: MakeClient) -> None:
    """So many rows of each kind as are asked for; what limits kept out is named by target."""
    asked: list[int] = []

    def count(limit: int) -> Cardinality:
        asked.append(limit)
        pairs = (("up", 3), ("jobs_total", 1))
        dropped = (Dropped("shop/172.17.0.2:8080", "max_series_per_target", 7),)
        return Cardinality(EMPTY, pairs, pairs, pairs, (("job=shop", 3),), dropped)

    client = make_client(cardinality=count)
    found = got(client, "status/tsdb")
    got(client, "status/tsdb", limit=3)

    assert asked == [10, 3]
    assert found["headStats"]["minTime"] == 2**63 - 1
    assert found["headStats"]["maxTime"] == -(2**63)
    assert found["seriesCountByMetricName"][0] == {"name": "up", "value": 3}
    assert found["seriesCountByLabelValuePair"] == [{"name": "job=shop", "value": 3}]
    assert found["droppedByTarget"] == [
        {"target": "shop/172.17.0.2:8080", "limit": "max_series_per_target", "series": 7}
    ]


def test_flags_and_configuration_are_what_is_in_force(make_client: MakeClient) -> None:
    """The query section goes by Prometheus's names."""
    query = QueryConfig.model_validate({"timeout": "30s", "lookback_delta": 60, "max_samples": 5})
    client = make_client(flags=query.flags, config_yaml=lambda: "query: {}\n")

    assert got(client, "status/flags") == {
        "query.lookback-delta": "1m",
        "query.max-concurrency": "8",
        "query.max-samples": "5",
        "query.timeout": "30s",
    }
    assert got(client, "status/config") == {"yaml": "query: {}\n"}
    assert query.limits().timeout_seconds == 30


def test_targets_are_chosen_by_state_and_pool(demo_client: FlaskClient) -> None:
    """Times are texts, as a Go client reads them."""
    everything = got(demo_client, "targets")
    active = got(demo_client, "targets", state="active", scrapePool="shop")

    assert len(everything["activeTargets"]) == len(active["activeTargets"]) == 3
    assert everything["droppedTargetCounts"] == {"shop": 0}
    assert active["droppedTargetCounts"] is None
    assert got(demo_client, "targets", scrapePool="other")["activeTargets"] == []
    assert got(demo_client, "targets", state="dropped")["activeTargets"] == []
    assert everything["activeTargets"][0]["lastScrape"] == "0001-01-01T00:00:00Z"
    assert got(demo_client, "scrape_pools") == {"scrapePools": ["shop"]}


def test_exemplars_are_asked_for_by_the_selectors_of_a_query(make_client: MakeClient) -> None:
    """Every selector counts, wherever it stands."""
    asked: list[Any] = []

    def find(sets: Any, start: int, end: int) -> list[SeriesExemplars]:
        asked.append(([one[-1] for one in sets], start, end))
        exemplar = Exemplar(Labels.of({"trace_id": "a"}), 0.5, 1500)
        return [SeriesExemplars(Labels.of({METRIC_NAME: "x"}), (exemplar,))]

    client = make_client(queryable=MemoryStore(), engine=Engine(), exemplars=find)
    found = got(client, "query_exemplars", query="rate(x[5m]) / y", start=1, end=2)

    names = [Matcher(METRIC_NAME, MatchOp.EQUAL, name) for name in "xy"]
    assert asked == [(names, 1000, 2000)]
    assert found == [
        {
            "seriesLabels": {METRIC_NAME: "x"},
            "exemplars": [{"labels": {"trace_id": "a"}, "value": "0.5", "timestamp": 1.5}],
        }
    ]
    assert client.get("/api/v1/query_exemplars?query=1").status_code == 204


def test_series_are_deleted_by_selectors_and_time(make_client: MakeClient) -> None:
    """POST and PUT; GET changes nothing."""
    deleted: list[Any] = []
    client = make_client(delete_series=lambda *asked: deleted.append(asked))
    path = "/api/v1/admin/tsdb/delete_series"

    assert client.get(f"{path}?match[]=x").status_code == 405
    assert client.post(path).status_code == 400
    assert client.post(path, data={"match[]": ["x", "y"], "start": 5, "end": 6}).status_code == 204
    ((sets, start, end),) = deleted
    assert [one[-1].value for one in sets] == ["x", "y"]
    assert (start, end) == (5000, 6000)


def test_another_sites_page_can_delete_nothing(make_client: MakeClient) -> None:
    """A browser names the site that asks."""
    deleted: list[Any] = []
    client = make_client(delete_series=lambda *asked: deleted.append(asked))
    answer = client.post(
        "/api/v1/admin/tsdb/delete_series?match[]=x", headers={"Origin": "http://evil.example"}
    )

    assert (answer.status_code, deleted) == (403, [])


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        ("job", "job"),
        ("U__dotted_2e_label", "dotted.label"),
        ("U__a__b", "a_b"),
        ("U___1F600_", "\N{GRINNING FACE}"),
        ("U__bad_zz_", "U__bad_zz_"),
        ("U__open_2e", "U__open_2e"),
        ("U__surrogate_d800_", "U__surrogate_d800_"),
        ("U__", ""),
    ],
)
def test_label_names_are_unescaped(escaped: str, name: str) -> None:
    """What is no right escape stays as it is."""
    assert unescaped(escaped) == name


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (200_000_000, "200ms"),
        (-1_500_000_000, "-1.5s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
    ],
)
def test_duration_is_printed_as_go_does(ns: int, text: str) -> None:
    """As in the error texts of timeouts."""
    assert go_duration(ns) == text


def test_words_of_the_language_are_those_of_the_engine(make_client: MakeClient) -> None:
    """Each function with its arguments and a line on what it is for."""
    words = json.loads(make_client().get("/api/promql/words").data)
    functions = {one["name"]: one for one in words["functions"]}

    assert functions["rate"]["signature"] == "rate(range vector)"
    assert functions["round"]["signature"] == "round(vector, [scalar])"
    assert functions["time"]["signature"] == "time()"
    assert all(one["doc"] for one in functions.values())
    assert {one["name"]: one["signature"] for one in words["aggregations"]}["topk"] == (
        "topk(k, vector)"
    )

"""The same OTLP requests to a real Prometheus: the same series come out, beside the task's identity."""

import http.client
import json
from collections.abc import Iterator

import pytest

from model.identity import PROMETHEUS_LABELS
from model.labels import Labels, Matcher, MatchOp
from storage.interface import Hints, SeriesSet
from storage.remote.reader import RemoteQueryable
from tests.storage.histograms import Histogram
from tests.storage.otlp.payload import NOW, camel, point, protobuf, request
from tests.storage.otlp.test_receiver import Taking, explicit, exponential, metric
from tests.storage.points import samples
from tests.storage.remote.prometheus import Prometheus

EVERY = [Matcher("__name__", MatchOp.REGEX, ".+")]
METRICS = [
    metric("queue.size", "gauge", point(as_double=2.5, attrs={"queue.name": "a", "_x": "1"})),
    metric("usage", "gauge", point(as_double=0.5, attrs={"a.b": "1", "a_b": "2"}), unit="1"),
    metric("io", "sum", point(as_int=5), unit="By/s", is_monotonic=True, aggregation_temporality=2),
    metric("workers", "sum", point(as_int=3), unit="{w}", aggregation_temporality=2),
    metric("lat", "histogram", explicit(), unit="ms", aggregation_temporality=2),
    metric("exp", "exponential_histogram", exponential(), aggregation_temporality=2),
    metric(
        "fine", "exponential_histogram",
        exponential(scale=11, positive={"offset": -9, "bucket_counts": [1, 0, 0, 0, 0, 0, 0, 0, 2]}),
        aggregation_temporality=2,
    ),
    metric("s", "summary", point(count=3, sum=1.5, quantile_values=[{"quantile": 0.99, "value": 2.0}])),
    metric("gone", "gauge", point(flags=1, as_int=1)),
    metric("4xx..rate", "gauge", point(as_int=1, attrs={"4th": "x", "größe": "y", "a..b": "z"})),
]  # fmt: skip


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Give one that takes OTLP."""
    made = Prometheus(tmp_path_factory.mktemp("otlp"))
    made.start("--web.enable-otlp-receiver")
    yield made
    made.stop()


def comparable(found: SeriesSet) -> dict[Labels, list[tuple[int, object]]]:
    """Return series without what Prometheus does not have: identity, start timestamps."""
    out: dict[Labels, list[tuple[int, object]]] = {}
    for labels, held in samples(found).items():
        kept = Labels(pair for pair in labels if pair[0] not in PROMETHEUS_LABELS)
        out[kept] = [(ts, v.hinted("") if isinstance(v, Histogram) else v) for ts, _, v in held]
    return out


@pytest.mark.peer
@pytest.mark.parametrize("as_json", [False, True])
def test_the_same_series(prometheus: Prometheus, as_json: bool) -> None:
    """By protobuf and by JSON."""
    data = request(*METRICS)
    body = json.dumps(camel(data)).encode() if as_json else protobuf(data)
    kind = "application/json" if as_json else "application/x-protobuf"
    connection = http.client.HTTPConnection("127.0.0.1", prometheus.port, timeout=10)
    connection.request("POST", "/api/v1/otlp/v1/metrics", body, {"Content-Type": kind})
    response = connection.getresponse()
    said = response.read()
    connection.close()
    assert response.status == 200, said

    taking, far = Taking(), RemoteQueryable(f"{prometheus.url}/api/v1/read")
    taking.receiver.ingest(body, as_json=as_json)
    want = comparable(far.select(EVERY, NOW - 1, NOW + 1, Hints()))
    far.close()
    assert len(want) == 17
    assert comparable(taking.store.select(EVERY, NOW - 1, NOW + 1, Hints())) == want

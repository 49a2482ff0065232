"""OTLP metrics become series."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model.labels import Labels
from model.samples import Exemplar, is_stale
from storage.interface import BadWriteError, Hints, Metadata
from storage.otlp.messages import decode_json, decode_protobuf
from storage.otlp.receiver import OtlpReceiver
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram
from tests.storage.otlp.payload import NOW, SHOP, camel, point, protobuf, request
from tests.storage.points import samples

# what the resource gives to each series
OWN = {
    "job": "ns/shop", "instance": "task-1",
    "namespace": "ns", "app": "shop", "task_id": "task-1", "host": "node-1",
}  # fmt: skip
CUMULATIVE, DELTA = 2, 1


class Taking:
    """A receiver over a store in memory."""

    def __init__(self, max_delta_streams: int = 100) -> None:
        self.store = MemoryStore()
        self.receiver = OtlpReceiver(
            self.store, CollectorRegistry(), max_delta_streams=max_delta_streams
        )

    def send(self, *metrics: dict[str, Any], **words: Any) -> bytes:
        return self.receiver.ingest(protobuf(request(*metrics, **words)))

    def values(self, name: str, **labels: str) -> dict[int, float]:
        return self.store.samples[Labels.of({**OWN, **labels, "__name__": name})]


def metric(name: str, kind: str, *points: dict[str, Any], unit: str = "", **more: Any) -> Any:
    """Return a metric."""
    return {
        "name": name, "unit": unit, "description": "About it.",
        kind: {"data_points": list(points), **more},
    }  # fmt: skip


def test_gauges_and_sums() -> None:
    """Names get their suffixes; job, instance and identity come from the resource."""
    taking = Taking()
    said = taking.send(
        metric("queue.size", "gauge", point(as_double=2.5, attrs={"queue.name": "a"})),
        metric(
            "bytes.sent", "sum", point(as_int=-7), unit="By",
            is_monotonic=True, aggregation_temporality=CUMULATIVE,
        ),
        metric("workers", "sum", point(as_int=3), aggregation_temporality=CUMULATIVE),
    )  # fmt: skip

    assert said == b""
    assert taking.values("queue_size", queue_name="a") == {NOW: 2.5}
    assert taking.values("bytes_sent_total") == {NOW: -7.0}
    assert taking.values("workers") == {NOW: 3.0}
    assert taking.store.metadata("workers") == {"workers": Metadata("gauge", "About it.", "")}
    assert taking.store.metadata("bytes_sent_total")["bytes_sent_total"].type == "counter"


def test_target_info() -> None:
    """What else is known of the resource, at the time of its samples."""
    taking = Taking()
    taking.send(
        metric("a", "gauge", point(NOW, as_int=1), point(NOW + 400_000, as_int=1, attrs={"x": "y"}))
    )

    info = taking.values("target_info", host_name="node-1", telemetry_sdk_language="python")
    assert info == dict.fromkeys([NOW, NOW + 150_000, NOW + 300_000, NOW + 400_000], 1.0)


def test_start_timestamps_are_kept() -> None:
    """Of what is cumulative."""
    taking = Taking()
    taking.send(metric("a", "sum", point(as_int=1), is_monotonic=True, aggregation_temporality=2))

    found = samples(taking.store.select([], 0, 1 << 62, Hints()))
    starts = {labels.get("__name__"): held[0][1] for labels, held in found.items()}
    assert starts == {"a_total": NOW - 60_000, "target_info": 0}


def test_delta_sums_become_cumulative() -> None:
    """By stream, also over requests; what is not newer is refused, as it may be in the sum."""
    taking = Taking()

    def send(at: int, value: int, shard: str = "1") -> bytes:
        data = point(at, at - 10, as_int=value, attrs={"shard": shard})
        return taking.send(
            metric("jobs", "sum", data, is_monotonic=True, aggregation_temporality=DELTA)
        )

    for at, value in ((NOW, 5), (NOW + 10, 7), (NOW + 20, 1)):
        assert send(at, value) == b""
    send(NOW + 10, 100, "2")
    said = from_partial(send(NOW + 20, 9))

    assert taking.values("jobs_total", shard="1") == {NOW: 5, NOW + 10: 12, NOW + 20: 13}
    assert taking.values("jobs_total", shard="2") == {NOW + 10: 100}
    assert said == (1, "jobs_total: a delta point is not newer than the one before it")


def test_delta_streams_are_bounded() -> None:
    """The one that was silent longest is forgotten, and begins anew."""
    taking = Taking(max_delta_streams=2)
    for at, shard in enumerate("abcbca"):
        data = point(NOW + at, as_int=1, attrs={"shard": shard})
        taking.send(metric("j", "sum", data, is_monotonic=True, aggregation_temporality=DELTA))

    assert taking.values("j_total", shard="b") == {NOW + 1: 1, NOW + 3: 2}
    assert taking.values("j_total", shard="a") == {NOW: 1, NOW + 5: 1}


def from_partial(answer: bytes) -> tuple[int, str]:
    """Read a partial success."""
    from storage.otlp.messages import Field

    message = {1: Field("n", "uint"), 2: Field("text", "string")}
    found = decode_protobuf(answer, {1: Field("partial", "message", message)})["partial"]
    return found["n"], found["text"]


def explicit(at: int = NOW, **more: Any) -> dict[str, Any]:
    """Return a histogram's point."""
    exemplars = [
        {"time_unix_nano": NOW * 1_000_000, "as_double": 1.5, "trace_id": "ab" * 16},
        {"time_unix_nano": NOW * 1_000_000, "as_int": 9, "span_id": "cd" * 8},
    ]
    fields = {
        "count": 6, "sum": 12.5, "explicit_bounds": [1.0, 2.5], "bucket_counts": [1, 2, 3],
        "exemplars": exemplars,
    }  # fmt: skip
    return point(at, **{**fields, **more})


def test_histograms_become_classic_ones() -> None:
    """Buckets are cumulative; exemplars go to the bucket they are in."""
    taking = Taking()
    taking.send(metric("lat", "histogram", explicit(), unit="s", aggregation_temporality=2))

    name = "lat_seconds"
    assert taking.values(f"{name}_bucket", le="1") == {NOW: 1.0}
    assert taking.values(f"{name}_bucket", le="2.5") == {NOW: 3.0}
    assert taking.values(f"{name}_bucket", le="+Inf") == {NOW: 6.0}
    assert taking.values(f"{name}_sum") == {NOW: 12.5}
    assert taking.values(f"{name}_count") == {NOW: 6.0}
    found = {
        one.labels.get("le"): one.exemplars for one in taking.store.exemplars([[]], 0, 1 << 62)
    }
    assert found == {
        "2.5": (Exemplar(Labels.of({"trace_id": "ab" * 16}), 1.5, NOW),),
        "+Inf": (Exemplar(Labels.of({"span_id": "cd" * 8}), 9.0, NOW),),
    }


def test_delta_histograms_become_cumulative() -> None:
    """Bucket by bucket; other bounds begin anew."""
    taking = Taking()
    for at in (NOW, NOW + 1):
        taking.send(metric("lat", "histogram", explicit(at), aggregation_temporality=DELTA))
    other = explicit(NOW + 2, explicit_bounds=[1.0], bucket_counts=[1, 5])
    taking.send(metric("lat", "histogram", other, aggregation_temporality=DELTA))

    assert taking.values("lat_bucket", le="2.5") == {NOW: 3.0, NOW + 1: 6.0}
    assert taking.values("lat_bucket", le="1") == {NOW: 1.0, NOW + 1: 2.0, NOW + 2: 1.0}
    assert taking.values("lat_count") == {NOW: 6.0, NOW + 1: 12.0, NOW + 2: 6.0}


def exponential(at: int = NOW, **more: Any) -> dict[str, Any]:
    """Return an exponential histogram's point."""
    fields = {
        "count": 8, "sum": 3.5, "scale": 2, "zero_count": 1,
        "positive": {"offset": -1, "bucket_counts": [1, 0, 2]},
        "negative": {"offset": 3, "bucket_counts": [4]},
    }  # fmt: skip
    return point(at, **{**fields, **more})


def stored_histograms(taking: Taking, name: str) -> list[Histogram]:
    """Return a series' histograms."""
    found = samples(taking.store.select([], 0, 1 << 62, Hints()))
    held = next(held for labels, held in found.items() if labels.get("__name__") == name)
    return [value for _, _, value in held if isinstance(value, Histogram)]


def test_exponential_histograms_become_native_ones() -> None:
    """Indices are one above OpenTelemetry's; finer scales than 8 are merged down."""
    taking = Taking()
    fine = exponential(NOW + 1, scale=9, positive={"offset": 0, "bucket_counts": [1, 1, 1]})
    taking.send(
        metric("e", "exponential_histogram", exponential(), fine, aggregation_temporality=2)
    )

    first, second = stored_histograms(taking, "e")
    assert (first.schema, first.positive, first.negative) == (2, {0: 1, 2: 2}, {4: 4})
    assert (first.count, first.sum, first.zero, first.threshold) == (8, 3.5, 1, 1e-128)
    assert (second.schema, second.positive) == (8, {1: 2, 2: 1})


def test_delta_exponential_histograms_become_cumulative() -> None:
    """Also where the scale changes."""
    taking = Taking()
    buckets = {"offset": 0, "bucket_counts": [5]}
    coarse = exponential(NOW + 1, scale=1, positive=buckets, count=10)
    for one in (exponential(), coarse):
        taking.send(metric("e", "exponential_histogram", one, aggregation_temporality=DELTA))

    first, second = stored_histograms(taking, "e")
    assert (first.schema, first.count) == (2, 8)
    assert (second.schema, second.count, second.positive) == (1, 18, {0: 1, 1: 7})


def test_summaries() -> None:
    """Quantiles, sum and count."""
    taking = Taking()
    quantiles = [{"quantile": 0.5, "value": 2.0}, {"quantile": 0.999, "value": 7.0}]
    taking.send(metric("s", "summary", point(count=3, sum=9.5, quantile_values=quantiles)))

    assert taking.values("s", quantile="0.5") == {NOW: 2.0}
    assert taking.values("s", quantile="0.999") == {NOW: 7.0}
    assert taking.values("s_count") == {NOW: 3.0}
    assert taking.values("s_sum") == {NOW: 9.5}


def test_no_recorded_value_is_a_stale_marker() -> None:
    """OpenTelemetry's way to say that a series has ended."""
    taking = Taking()
    taking.send(
        metric("g", "gauge", point(flags=1)),
        metric("e", "exponential_histogram", point(flags=1), aggregation_temporality=2),
    )

    for name in ("g", "e"):
        assert is_stale(np.array([taking.values(name)[NOW]])).all()


def test_attributes_that_become_the_same_are_joined() -> None:
    """As Prometheus does, in the order of their names; other values are JSON."""
    taking = Taking()
    listed = {"array_value": {"values": [{"int_value": 1}, {"string_value": "x"}]}}
    data = point(as_int=1, attrs={"a_b": "2", "a.b": "1", "yes": True, "half": 0.5})
    data["attributes"].append({"key": "list", "value": listed})
    taking.send(metric("g", "gauge", data))

    want = {"a_b": "1;2", "yes": "true", "half": "0.5", "list": '[1,"x"]'}
    assert taking.values("g", **want) == {NOW: 1.0}


def test_wrong_points_are_left_out_and_told() -> None:
    """The others are stored."""
    taking = Taking()
    bad = explicit(bucket_counts=[1])
    coarse = exponential(scale=-5)
    said = from_partial(
        taking.send(
            metric("h", "histogram", bad, aggregation_temporality=2),
            metric("e", "exponential_histogram", coarse, aggregation_temporality=2),
            metric("...", "gauge", point(as_int=1), point(as_int=2)),
            metric("g", "gauge", point(as_int=1)),
        )
    )

    assert said[0] == 4
    assert "do not fit" in said[1]
    assert "scale must be >= -4" in said[1]
    assert "no usable name" in said[1]
    assert taking.values("g") == {NOW: 1.0}


def test_json_is_the_same_as_protobuf() -> None:
    """Every type, by both forms."""
    data = request(
        metric("g", "gauge", point(as_double=0.5, attrs={"b": True, "n": 5, "s": "x"})),
        metric("c", "sum", point(as_int=5), aggregation_temporality=2, is_monotonic=True),
        metric("h", "histogram", explicit(), aggregation_temporality=2),
        metric("e", "exponential_histogram", exponential(), aggregation_temporality=1),
        metric("s", "summary", point(count=3, quantile_values=[{"quantile": 0.5, "value": 2.0}])),
    )

    found = decode_protobuf(protobuf(data))
    assert decode_json(json.dumps(camel(data)).encode()) == found
    assert len(found["resource_metrics"][0]["scope_metrics"][0]["metrics"]) == 5


def test_json_is_answered_in_json() -> None:
    """Partial successes, too; enum names are known."""
    taking = Taking()
    good = request(metric("j", "sum", point(as_int=1), aggregation_temporality=DELTA))
    text = json.dumps(camel(good)).replace(
        '"aggregationTemporality": 1', '"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA"'
    )

    assert taking.receiver.ingest(text.encode(), as_json=True) == b"{}"
    partial = json.loads(taking.receiver.ingest(text.encode(), as_json=True))["partialSuccess"]
    assert partial["rejectedDataPoints"] == "1"


@pytest.mark.parametrize("as_json", [False, True])
@settings(deadline=None)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_taken_or_refused(as_json: bool, data: bytes) -> None:
    """Whatever comes: an answer or a BadWriteError."""
    taking = Taking()
    try:
        answer = taking.receiver.ingest(data, as_json=as_json)
    except BadWriteError as error:
        answer = str(error).encode()

    assert answer is not None
    assert SHOP["service.name"] == "shop"


def test_cut_anywhere_it_is_refused_or_shorter() -> None:
    """A request cut at any byte gives no value that was not in it."""
    whole = protobuf(request(metric("g", "gauge", point(as_double=0.5))))
    taking = Taking()
    for cut in range(len(whole)):
        try:
            taking.receiver.ingest(whole[:cut])
        except BadWriteError:
            continue
    assert taking.store.samples.keys() <= {Labels()} or taking.values("g") == {NOW: 0.5}

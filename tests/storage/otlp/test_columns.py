"""Requests read as columns give what translating point by point gives: the same request in JSON is the judge."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model.errors import StorageError, UnknownSeriesError
from storage.interface import BadWriteError, Hints
from storage.otlp import receiver as receiver_module
from storage.otlp import skeleton
from storage.otlp.receiver import OtlpReceiver
from storage.remote.wire import varint
from tests.fakes.store import MemoryStore
from tests.storage.otlp.payload import NOW, SHOP, camel, point, protobuf, request
from tests.storage.otlp.payload import attributes as own
from tests.storage.otlp.test_receiver import exponential, metric
from tests.storage.points import samples

CUMULATIVE, DELTA = 2, 1

attributes = st.dictionaries(
    st.sampled_from(["a", "a.b", "a_b", "le", "1x", "gr\u00f6\u00dfe"]),
    st.one_of(st.text(max_size=4), st.integers(-9, 9), st.booleans()),
    max_size=3,
)
times = st.integers(0, 5).map(lambda n: NOW + 1000 * n)
floats = st.floats(allow_nan=False)


def points(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Return points with attributes; some have no start, some are gone, some have an exemplar."""
    exemplar = {"time_unix_nano": NOW * 1_000_000, "as_double": 0.25, "trace_id": "ab"}
    odd = st.sampled_from([{}, {}, {}, {"flags": 1}, {"exemplars": [exemplar]}, {"start": None}])

    def made(at: int, attrs: Any, extra: Any, values: Any) -> Any:
        extra = dict(extra)
        out = point(at, attrs=attrs, **values)
        if "start" in extra:
            del extra["start"], out["start_time_unix_nano"]
        return {**out, **extra}

    values = st.fixed_dictionaries(fields)
    return st.lists(st.builds(made, times, attributes, odd, values), max_size=5)


integers = st.integers(-(2**40), 2**40)
whole, broken = points(as_int=integers), points(as_double=floats)
counts = st.lists(st.integers(0, 2**40), min_size=3, max_size=4)
bounds = st.sampled_from([[1.0, 2.0], [0.5, 1.0, 2.5], [1.0, 2.0, float("inf")]])
with_sum = points(count=integers.map(abs), sum=floats, bucket_counts=counts, explicit_bounds=bounds)
without = points(count=integers.map(abs), bucket_counts=counts, explicit_bounds=bounds)
with_ends = points(
    count=integers.map(abs), sum=floats, bucket_counts=counts, explicit_bounds=bounds,
    min=floats, max=floats,
)  # fmt: skip
temporality = st.sampled_from([CUMULATIVE, CUMULATIVE, DELTA])
metrics = st.one_of(
    st.builds(lambda p: metric("g", "gauge", *p), st.one_of(whole, broken)),
    st.builds(
        lambda p, t, m: metric("s", "sum", *p, aggregation_temporality=t, is_monotonic=m),
        st.one_of(whole, broken),
        temporality,
        st.booleans(),
    ),
    st.builds(
        lambda p, t: metric("h", "histogram", *p, aggregation_temporality=t, unit="s"),
        st.one_of(with_sum, without, with_ends),
        temporality,
    ),
    st.just(metric("..", "gauge", point(as_int=1))),
    st.just(metric("e", "exponential_histogram", exponential(), aggregation_temporality=2)),
)
resources = st.sampled_from([SHOP, {"service.name": "other"}, {}])
requests = st.lists(st.tuples(resources, st.lists(metrics, max_size=4)), max_size=3)


KINDS = ("gauge", "sum", "histogram", "exponential_histogram")


def whole_request(parts: list[tuple[dict[str, Any], list[Any]]]) -> dict[str, Any]:
    """Return a request of several resources; no two points are of the same series."""
    made = [request(*some, resource=resource)["resource_metrics"][0] for resource, some in parts]
    data = json.loads(json.dumps({"resource_metrics": made}))
    number = 0
    for part in data["resource_metrics"]:
        for one in part["scope_metrics"][0]["metrics"]:
            kind = next(name for name in KINDS if name in one)
            for data_point in one[kind]["data_points"]:
                data_point.setdefault("attributes", []).extend(own({"n": number}))
                number += 1
    return data  # type: ignore[no-any-return]


@settings(deadline=None, max_examples=60)
@given(st.lists(requests, min_size=1, max_size=3))
def test_columns_are_what_points_are(
    sent: list[list[tuple[dict[str, Any], list[Any]]]],
) -> None:
    """Samples, start timestamps, exemplars, metadata and what is refused; met first and known."""
    stores = MemoryStore(), MemoryStore()
    registries = CollectorRegistry(), CollectorRegistry()
    takers = [OtlpReceiver(*one) for one in zip(stores, registries, strict=True)]
    for parts in [*sent, *sent, *sent]:
        data = whole_request(parts)
        text = json.dumps(camel(data)).encode()
        answer = takers[1].ingest(text, as_json=True)
        assert bool(takers[0].ingest(protobuf(data))) == (answer != b"{}")

    found, want = (samples(store.select([], 0, 1 << 62, Hints())) for store in stores)
    assert found == want
    assert stores[0].metadata() == stores[1].metadata()
    assert stores[0].exemplars([[]], 0, 1 << 62) == stores[1].exemplars([[]], 0, 1 << 62)
    for kind in KINDS:
        name = "taskscope_otlp_received_points_total"
        counted = [r.get_sample_value(name, {"type": kind}) or 0 for r in registries]
        assert counted[0] == counted[1]


def gauges(number: int, at: int = NOW) -> bytes:
    """Return a request that can be read as columns."""
    some = [point(at, as_int=n, attrs={"n": n}) for n in range(number)]
    return protobuf(request(metric("g", "gauge", *some), resource={}))


def test_requests_that_are_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen twice, a request is known by its bytes; those that differ in more than numbers are not it."""

    def body(at: int, values: list[float], last: str = "z") -> bytes:
        some = [point(at, as_double=v, attrs={"n": n}) for n, v in enumerate(values)]
        more = [point(at, as_int=int(v), attrs={"n": n}) for n, v in enumerate(values)]
        held = [
            point(at, count=9, sum=v, bucket_counts=[1, int(v), 2], explicit_bounds=[1.0, 2.0],
                  min=v / 2, max=v, attrs={"n": n})
            for n, v in enumerate(values)
        ]  # fmt: skip
        return protobuf(
            request(
                metric("g", "gauge", *some[:-1], point(at, as_double=7.0, attrs={"n": last})),
                metric("s", "sum", *more, aggregation_temporality=2, is_monotonic=True),
                metric("h", "histogram", *held, aggregation_temporality=2),
            )
        )

    store, plain = MemoryStore(), MemoryStore()
    taking = OtlpReceiver(store, CollectorRegistry())
    hits = []

    class Watched(skeleton.Skeletons):
        def read(self, data: bytes) -> Any:
            found = super().read(data)
            hits.append(found is not None)
            return found

    monkeypatch.setattr(taking, "_skeletons", Watched())
    for step in range(10):
        values = [float(step * 7 + n) for n in range(20)]
        sent = body(NOW + step, values, "y" if step == 5 else "z")
        taking.ingest(sent)
        OtlpReceiver(plain, CollectorRegistry()).ingest(sent)

    found, want = (samples(one.select([], 0, 1 << 62, Hints())) for one in (store, plain))
    assert found == want
    assert len(want) == 21 + 20 + 20 * 5 + 1
    assert hits == [False, False, True, True, True, False, False, False, True, True]


def test_fields_in_another_order_are_understood() -> None:
    """Such a request is decoded as a whole."""
    data = protobuf(request(metric("g", "gauge", point(as_int=1)), resource={}))
    at = data.index(b"\x2a", data.index(b"About it."))
    temporality = data[:at] + b"\x2a" + varint(data[at + 1] + 2) + b"\x10\x01" + data[at + 2 :]
    longer = bytearray(temporality)
    for place in range(at):  # the messages around it are two bytes longer
        if temporality[place] == len(data) - place - 1 and temporality[place - 1] in (0x0A, 0x12):
            longer[place] += 2
    store = MemoryStore()
    OtlpReceiver(store, CollectorRegistry()).ingest(bytes(longer))

    assert len(store.samples) == 1


def test_cut_anywhere_it_is_refused_or_shorter() -> None:
    """Also when all of it is known; what comes next is taken."""
    whole_body = gauges(3)
    store = MemoryStore()
    taking = OtlpReceiver(store, CollectorRegistry())
    taking.ingest(whole_body)
    for cut in range(len(whole_body)):
        try:
            taking.ingest(whole_body[:cut])
        except BadWriteError as error:
            assert "not OTLP" in str(error)  # noqa: PT017
    taking.ingest(gauges(3, NOW + 1))
    assert all(list(held) == [NOW, NOW + 1] for held in store.samples.values())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=4))
def test_any_bytes_are_taken_or_refused(changes: list[tuple[int, int]]) -> None:
    """Whatever comes: an answer or a BadWriteError."""
    body = bytearray(gauges(3))
    for place, value in changes:
        body[place % len(body)] = value
    taking = OtlpReceiver(MemoryStore(), CollectorRegistry())
    for _ in range(2):
        try:
            taking.ingest(bytes(body))
        except BadWriteError as error:
            assert str(error)  # noqa: PT017


class Forgetful(MemoryStore):
    """Forgets its series, or has no room for more, when told to."""

    forgets = full = False

    def series(self, labels: Any) -> Any:
        if self.full:
            raise StorageError("too many series")
        self.forgets = False
        return super().series(labels)

    def append_samples(self, *args: Any, **words: Any) -> Any:
        if self.forgets:
            raise UnknownSeriesError("forgotten")
        return super().append_samples(*args, **words)


def test_what_the_store_forgot_is_told_anew() -> None:
    """And what it had no room for comes later."""
    store = Forgetful()
    taking = OtlpReceiver(store, CollectorRegistry())
    taking.ingest(gauges(3))
    store.forgets = True
    taking.ingest(gauges(3, NOW + 1))
    store.full = True
    with pytest.raises(StorageError, match="too many"):
        taking.ingest(gauges(5, NOW + 2))
    store.full = False
    taking.ingest(gauges(5, NOW + 3))

    assert sum(map(len, store.samples.values())) == 3 + 3 + 5


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew, and loses nothing."""
    monkeypatch.setattr(receiver_module, "_MAX_KNOWN", 4)
    store = MemoryStore()
    taking = OtlpReceiver(store, CollectorRegistry())
    for step in range(9):
        taking.ingest(gauges(60, NOW + step))

    assert [len(held) for held in store.samples.values()] == [9] * 60

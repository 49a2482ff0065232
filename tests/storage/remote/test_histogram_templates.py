"""Histograms that look like those before are read as by their fields, and are not looked at closely."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.histogram.pool import FIELDS
from model.labels import Labels
from model.samples import STALE_BITS
from storage.remote.columns import HistogramRows, RemoteWriteError
from storage.remote.decode import Decoder
from storage.remote.encode import encode_labels
from storage.remote.histogram_fields import read_fields
from storage.remote.histogram_templates import Templates
from storage.remote.histograms import HistogramReader, SpanForms
from storage.remote.wire import SERIES_TAG, WireError, delimited, varint
from tests.storage.remote.test_walk import field

READ_FIELDS = "storage.remote.histograms.read_fields"
TS_MS = 1_767_225_600_000


def zigzag(number: int) -> bytes:
    """Encode a sint."""
    return varint((number << 1) ^ (number >> 63))


def message(
    counts: list[int],
    gaps: tuple[int, ...] = (2,),
    *,
    zero: int | None = 3,
    total: float = 1.5,
    schema: int = 3,
    hint: int = 0,
    ts_ms: int = TS_MS,
    more: int = 0,
) -> bytes:
    """Return a message as Prometheus writes it; ``gaps`` are the offsets of spans that share the buckets evenly."""
    size = -(-len(counts) // len(gaps))
    lengths = [len(counts[at : at + size]) for at in range(0, size * len(gaps), max(size, 1))]
    spans = b"".join(
        delimited(0x5A, b"\x08" + zigzag(gap) + b"\x10" + varint(length))
        for gap, length in zip(gaps, lengths, strict=False)
    )
    deltas = b"".join(map(zigzag, np.diff(counts, prepend=0).tolist()))
    parts = [b"\x08" + varint(sum(counts) + (zero or 0) + more)]
    parts += [b"\x19" + np.float64(total).tobytes()] * (total != 0)
    parts += [b"\x20" + zigzag(schema)] * (schema != 0)
    parts += [b"\x29" + np.float64(0.25).tobytes()]
    parts += [] if zero is None else [b"\x30" + varint(zero)]
    parts += [spans + delimited(0x62, deltas)] * bool(counts)
    parts += [b"\x70" + varint(hint)] * bool(hint)
    return b"".join([*parts, b"\x78" + varint(ts_ms)])


usual = st.builds(
    message,
    st.lists(st.one_of(st.integers(0, 90), st.integers(0, 2**40)), max_size=6),
    st.lists(st.integers(0, 3), min_size=1, max_size=2).map(tuple),
    zero=st.one_of(st.none(), st.integers(0, 300)),
    total=st.sampled_from([0.0, 1.5, -3.0, np.inf, np.nan]),
    schema=st.sampled_from([0, 3, -4, 8, 9, 60]),
    hint=st.integers(0, 4),
    ts_ms=st.one_of(st.just(TS_MS), st.integers(0, 2**50)),
    more=st.sampled_from([0, 0, 0, 0, 1]),
)


@st.composite
def requests(draw: st.DrawFn) -> list[list[tuple[int, bytes]]]:
    """Some requests with messages of a few series: alike, of other forms, and with bytes that are wrong."""
    forms = draw(st.lists(usual, min_size=1, max_size=4))
    out = []
    for _ in range(draw(st.integers(2, 5))):
        request = []
        for row, form in enumerate(forms):
            change = draw(st.sampled_from(["", "", "", "counts", "other", "byte", "cut", "field"]))
            data = form
            if change == "counts":
                data = message(draw(st.lists(st.integers(0, 2**30), min_size=1, max_size=4)))
            elif change == "other":
                data = draw(usual)
            elif change == "byte":
                at = draw(st.integers(0, len(form) - 1))
                data = form[:at] + bytes([draw(st.integers(0, 255))]) + form[at + 1 :]
            elif change == "cut":
                at = draw(st.integers(0, len(form) - 1))
                data = form[:at] + form[at + 1 :]
            elif change == "field":
                data = form + draw(field)
            request.append((row, data))
        out.append(request)
    return out


def read(
    request: list[tuple[int, bytes]], templates: Templates | None, forms: SpanForms
) -> tuple[HistogramRows | None, list[str]] | None:
    """Return the histograms of a request and what is wrong with them; None if it cannot be read."""
    reader = HistogramReader(forms, templates)
    data, at = b"".join(one for _, one in request), 0
    for row, one in request:
        reader.read(data, at, at + len(one), row)
        at += len(one)
    faults: list[str] = []
    try:
        return reader.columns(faults), faults
    except WireError:
        return None


def assert_equal(
    one: tuple[HistogramRows | None, list[str]] | None,
    other: tuple[HistogramRows | None, list[str]] | None,
) -> None:
    """Compare to the bit."""
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    assert one[1] == other[1]
    found, wanted = one[0], other[0]
    assert found is not None
    assert wanted is not None
    for name in ("rows", "ts_ms", "start_ms", "stale"):
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist()
    for name in FIELDS:
        mine, theirs = getattr(found.pool, name), getattr(wanted.pool, name)
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape, name
        assert mine.tobytes() == theirs.tobytes(), name


@pytest.mark.slow
@settings(deadline=None, max_examples=500)
@given(requests())
def test_the_same_as_by_fields(sent: list[list[tuple[int, bytes]]]) -> None:
    """Whatever changes from request to request, and whatever is wrong, both ways agree."""
    templates, forms = Templates(), SpanForms()
    for request in sent:
        assert_equal(read(request, templates, forms), read(request, None, forms))


@pytest.mark.parametrize(
    "change",
    [
        {"total": 2.5, "zero": 200},
        {"ts_ms": TS_MS + 15_000},
        {"total": -1.0},
    ],
)
def test_what_changes_usually_is_read_by_templates(change: dict[str, float]) -> None:
    """Counts, sums, zero counts and times may change; no message is read by its fields then."""
    templates, forms = Templates(), SpanForms()
    first = [(row, message([1, 5, 2 + row], hint=row % 2)) for row in range(3)]
    read(first, templates, forms)
    again = [
        (row, message([300, 70_000, row], hint=row % 2, **change))  # type: ignore[arg-type]  # of several types
        for row in range(3)
    ]
    wanted = read(again, None, forms)
    with patch(READ_FIELDS, side_effect=AssertionError):
        assert_equal(read(again, templates, forms), wanted)


def test_series_without_observations_and_other_sequences_are_read_by_templates() -> None:
    """Idle series have neither sum nor buckets; the order of series may change."""
    templates, forms = Templates(), SpanForms()
    idle = message([], total=0.0, zero=0)
    first = [(0, message([1, 2])), (1, idle), (2, message([4], (5,), schema=0, zero=None))]
    read(first, templates, forms)
    for request in (first, first[::-1], first[:2], first[1:], [first[1]]):
        wanted = read(request, None, forms)
        with patch(READ_FIELDS, side_effect=AssertionError):
            assert_equal(read(request, templates, forms), wanted)


def test_one_that_changes_its_form_leaves_the_others_alone() -> None:
    """Only the message that differs is read by its fields, and the next time none is."""
    templates, forms = Templates(), SpanForms()
    rows = [[3, 4], [5, 6], [7, 8]]
    read([(row, message(counts)) for row, counts in enumerate(rows)], templates, forms)
    rows[1].append(9)
    request = [(row, message(counts)) for row, counts in enumerate(rows)]
    wanted = read(request, None, forms)
    with patch(READ_FIELDS, wraps=read_fields) as by_fields:
        assert_equal(read(request, templates, forms), wanted)
        assert len(by_fields.call_args.args[1]) == 1
        assert_equal(read(request, templates, forms), wanted)
        assert by_fields.call_count == 1


def test_a_series_that_went_stale_comes_back() -> None:
    """A stale marker is no histogram, and what is known of the series stays."""
    templates, forms = Templates(), SpanForms()
    usual_one = [(0, message([1, 2]))]
    stale = float(np.array([STALE_BITS]).view(np.float64)[0])
    read(usual_one, templates, forms)
    for request in ([(0, message([], total=stale))], [(0, message([1, 2], total=stale))]):
        found = read(request, templates, forms)
        assert_equal(found, read(request, None, forms))
        assert found is not None
        assert found[0] is not None
        assert found[0].stale.tolist() == [True]
    with patch(READ_FIELDS, side_effect=AssertionError):
        assert read(usual_one, templates, forms) is not None


def test_requests_of_lone_histograms_and_other_series() -> None:
    """Series of one histogram, of several, of samples, and new ones between them are told apart."""
    labels = [encode_labels(Labels.of({"__name__": f"h{i}", "x": "y" * i * 40})) for i in range(5)]

    def series(number: int, *points: bytes) -> bytes:
        return delimited(SERIES_TAG, labels[number] + b"".join(points))

    def histogram(number: int, at: int = 0) -> bytes:
        return delimited(0x22, message([number, 200 * number], ts_ms=TS_MS + at))

    sample = delimited(0x12, b"\x09" + np.float64(1.0).tobytes() + b"\x10" + varint(TS_MS))
    both = [series(i, histogram(i)) for i in range(5)]
    sent = [
        b"".join(both),
        b"".join(both),
        both[0] + series(1, histogram(1), histogram(1, 15_000)) + both[2] + series(3, sample),
        both[0] + both[2] + series(3, histogram(3), sample) + both[4],
        b"".join(both[::-1]),
        b"".join(both[:2]) + both[2][:-3],
    ]
    known = Decoder([], SpanForms())
    for body in sent[:-1]:
        found, fresh = known.decode(body), Decoder([], SpanForms())
        wanted = fresh.decode(body)
        names = [known._labels[row] for row in found.rows.tolist()]
        assert names == [fresh._labels[row] for row in wanted.rows.tolist()]
        assert found.histograms is not None
        assert wanted.histograms is not None
        mine = [known._labels[row] for row in found.histograms.rows.tolist()]
        assert mine == [fresh._labels[row] for row in wanted.histograms.rows.tolist()]
        assert found.histograms.ts_ms.tolist() == wanted.histograms.ts_ms.tolist()
        assert found.histograms.pool.positive.tolist() == wanted.histograms.pool.positive.tolist()
    with pytest.raises(RemoteWriteError):
        known.decode(sent[-1])

"""Vectors and matrices as Prometheus's JSON."""

import json

import numpy as np
import pytest

from model.histogram.pool import HistogramColumn
from model.labels import LabelTable
from model.samples import Ints, is_no_sample, no_samples
from promql.result import Matrix, Scalar, String, Vector
from tests.promql.histograms import Hist, to_pool
from web.api import encoding, label_text, matrix
from web.api.numbers import go_float, timestamps


def text_of(result: Scalar | String | Vector | Matrix, limit: int) -> tuple[str, bytes, bool]:
    """Return an answer in one piece."""
    kind, pieces, cut = encoding.value(result, limit)
    return kind, b"".join(pieces), cut


TABLE = LabelTable.from_labels(
    [{"__name__": "up", "a": 'x"y\\'}, {"a": '",}{', "b": "ü"}, {"b": "1"}]
)


def test_labels_become_objects_in_name_order() -> None:
    """Absent labels are left out, values are escaped."""
    objects = [json.loads(text) for text in label_text.label_objects(TABLE)]

    assert objects == [{"__name__": "up", "a": 'x"y\\'}, {"a": '",}{', "b": "ü"}, {"b": "1"}]


def test_series_without_labels_is_an_empty_object() -> None:
    """``sum(x)`` has no labels."""
    assert label_text.label_objects(LabelTable(2, {})) == [b"{}", b"{}"]


def test_lone_surrogate_becomes_the_replacement_character() -> None:
    """What JSON cannot carry does not break an answer."""
    assert label_text.json_text("a\udcffb").decode() == '"a\ufffdb"'


def test_matrix_leaves_out_missing_points_and_empty_series() -> None:
    """NO_SAMPLE is no point; a NaN is one."""
    values = no_samples((3, 4))
    values[0] = [1, 2.5, np.nan, 1e21]
    values[2, 1] = np.inf
    values[2, 3] = 1.5e-6
    kind, data, cut = text_of(Matrix(TABLE, np.array([1000, 2000, 3500, 4000]), values), limit=0)

    assert (kind, cut) == ("matrix", False)
    assert json.loads(data) == [
        {
            "metric": {"__name__": "up", "a": 'x"y\\'},
            "values": [[1, "1"], [2, "2.5"], [3.5, "NaN"], [4, "1e+21"]],
        },
        {"metric": {"b": "1"}, "values": [[2, "+Inf"], [4, "0.0000015"]]},
    ]


def test_range_vector_has_times_of_its_own_in_each_series() -> None:
    """An instant query of ``up[1m]`` gives samples where they stand."""
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    times = np.arange(6).reshape(3, 2) * 1000
    _, data, _ = text_of(Matrix(TABLE, times, values), limit=0)

    assert [series["values"] for series in json.loads(data)] == [
        [[0, "1"], [1, "2"]],
        [[2, "3"], [3, "4"]],
        [[4, "5"], [5, "6"]],
    ]


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
def test_chunks_do_not_show(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large answers are rendered piecemeal and come out whole."""
    monkeypatch.setattr(matrix, "_CHUNK_POINTS", chunk)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(23, 5))
    values[rng.random((23, 5)) < 0.3] = no_samples(1)[0]
    values[4] = no_samples(5)
    table = LabelTable.from_labels([{"i": str(i)} for i in range(23)])
    times = np.arange(5) * 15_000
    found = {
        series["metric"]["i"]: [[t, float(v)] for t, v in series["values"]]
        for series in json.loads(b"".join(matrix.matrix(Matrix(table, times, values))))
    }
    present = ~is_no_sample(values)

    assert found == {
        str(i): [[t / 1000, v] for t, v in zip(times[here], row[here], strict=True)]
        for i, (row, here) in enumerate(zip(values, present, strict=True))
        if here.any()
    }
    assert "4" not in found


def test_limit_cuts_series_and_says_so() -> None:
    """``limit`` counts series, not points."""
    vector = Vector(TABLE, 1000, np.array([1.0, 2.0, 3.0]))
    _, data, cut = text_of(vector, limit=2)

    assert cut
    assert [series["value"] for series in json.loads(data)] == [[1, "1"], [1, "2"]]


def test_scalar_and_string() -> None:
    """They are a pair of time and text."""
    scalar = Scalar(np.array([1500]), np.array([2.0]))

    assert text_of(scalar, limit=0) == ("scalar", b'[1.5,"2"]', False)
    assert text_of(String(2000, 'a"b'), limit=0) == ("string", b'[2,"a\\"b"]', False)


TIMES = {
    "whole seconds": 1_795_374_900_000 + 15_000 * np.arange(7),
    "a quarter": 1_795_374_900_250 + 15_000 * np.arange(7),
    "steps of half a second": 1_795_374_900_000 + 500 * np.arange(7),
    "more and more digits": 10_000 * 10 ** np.arange(7),
    "before 1970": -7_000 + 2_000 * np.arange(7),
    "one step": np.array([1_795_374_900_000]),
}
ODD = (np.nan, 0.0, -0.0, 1.0, 0.1, 1e-6, -2.5e-7, 5e-324, 1e16, 1e21, -1.7976931348623157e308)


@pytest.mark.parametrize("infinite", [False, True])
@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_points_are_those_of_the_matrix(times: Ints, *, infinite: bool) -> None:
    """Held against one point at a time: any times, holes, numbers of every form."""
    rng = np.random.default_rng(7)
    values = rng.choice([*ODD, np.inf, -np.inf] if infinite else ODD, size=(40, len(times)))
    values[rng.random(values.shape) < 0.25] = no_samples(1)[0]
    values[11] = no_samples(len(times))
    table = LabelTable.from_labels([{"i": f'{i},"]'} for i in range(40)])
    stamps = [text.decode() for text in timestamps(times)]
    present = ~is_no_sample(values)
    want = ",".join(
        f'{{"metric":{{"i":"{i},\\"]"}},"values":['
        + ",".join(
            f'[{stamps[j]},"{go_float(values[i, j])}"]' for j in np.flatnonzero(present[i]).tolist()
        )
        + "]}"
        for i in range(40)
        if present[i].any()
    )

    assert b"".join(matrix.matrix(Matrix(table, times, values))).decode() == f"[{want}]"


def test_floats_and_histograms_of_one_series_stand_in_two_lists() -> None:
    """A step has one or the other."""
    pool = to_pool([Hist(schema=0, count=3, sum=2.5, zero_count=1, positive={1: 2})])
    index = np.array([[-1, 0, -1, 0]], dtype=np.int32)
    values = no_samples((1, 4))
    values[0, [0, 2]] = [1, 2.5]
    result = Matrix(
        LabelTable.from_labels([{"a": "b"}]),
        1000 * np.arange(1, 5),
        values,
        HistogramColumn(index, pool),
    )
    hist = '{"count":"3","sum":"2.5","buckets":[[3,"-0","0","1"],[0,"1","2","2"]]}'

    assert b"".join(matrix.matrix(result)).decode() == (
        '[{"metric":{"a":"b"},"values":[[1,"1"],[3,"2.5"]],'
        f'"histograms":[[2,{hist}],[4,{hist}]]}}]'
    )
    vector = Vector(result.labels, 4000, values[:, 3], HistogramColumn(index[:, 3:], pool))
    assert text_of(vector, 0)[1].decode() == f'[{{"metric":{{"a":"b"}},"histogram":[4,{hist}]}}]'

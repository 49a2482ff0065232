"""Vectors and matrices as Prometheus's JSON."""

import json

import numpy as np
import pytest

from model.labels import LabelTable
from model.samples import is_no_sample, no_samples
from promql.result import Matrix, Scalar, String, Vector
from web.api import encoding, label_text, matrix


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

"""The ring of exemplars."""

import numpy as np
import pytest

from model.labels import Labels
from model.samples import Exemplar
from storage.tsdb.exemplars import Exemplars
from storage.tsdb.index import SeriesIndex
from storage.tsdb.limits import SeriesLimits

SERIES = [Labels.of({"__name__": "m", "i": str(i)}) for i in range(4)]


def ring(limit: int) -> Exemplars:
    """Return a ring over an index that knows SERIES."""
    index = SeriesIndex(SeriesLimits(100))
    index.intern(SERIES)
    return Exemplars(index, limit)


def times(made: Exemplars) -> dict[Labels, list[int]]:
    """Return the times of what is kept, by series."""
    found = made.find(np.arange(4), 0, 2**62)
    return {one.labels: [e.ts_ms for e in one.exemplars] for one in found}


def test_the_oldest_give_way() -> None:
    """Beyond the limit the exemplar that was added first goes, whatever its series."""
    made = ring(3)
    for number, ref in enumerate([0, 1, 0, 2, 1, 1]):
        made.add(np.array([ref]), [Exemplar(Labels(), 1.0, 1000 + number)], logged=True)

    assert times(made) == {SERIES[1]: [1004, 1005], SERIES[2]: [1003]}
    assert sorted(made.refs().tolist()) == [1, 2]
    assert [e.ts_ms for e in made.every()[1]] == [1003, 1004, 1005]


def test_a_series_that_lost_its_exemplars_may_begin_anew() -> None:
    """What gave way is no measure of what is too old any more."""
    made = ring(1)
    made.add(np.array([0]), [Exemplar(Labels(), 1.0, 5000)])
    made.add(np.array([1]), [Exemplar(Labels(), 1.0, 5000)])

    assert made.add(np.array([0]), [Exemplar(Labels(), 1.0, 1000)]).tolist() == [2]
    assert times(made) == {SERIES[0]: [1000]}


@pytest.mark.parametrize(
    ("labels", "value", "ts", "wanted"),
    [
        ({"id": "b"}, 2.0, 1000, False),
        ({"id": "b"}, 2.0, 999, False),
        ({"id": "b"}, 1.0, 1000, False),
        ({"id": "b"}, 3.0, 1000, True),
        ({"id": "c"}, 2.0, 1000, True),
        ({"id": "b"}, 2.0, 1001, True),
        ({"id": "x" * 126}, 3.0, 1001, True),
        ({"id": "x" * 127}, 3.0, 1001, False),
    ],
)
def test_what_is_taken(labels: dict[str, str], value: float, ts: int, *, wanted: bool) -> None:
    """Behind an exemplar with id b, value 2 and time 1000 only what is newer is taken, and not too long."""
    made = ring(10)
    made.add(np.array([0]), [Exemplar(Labels.of({"id": "b"}), 2.0, 1000)])

    (token,) = made.add(np.array([0]), [Exemplar(Labels.of(labels), value, ts)]).tolist()
    assert token == (1 if wanted else -1)


def test_none_are_kept_with_a_limit_of_0() -> None:
    """The ring may be turned off."""
    made = ring(0)

    assert made.add(np.array([0]), [Exemplar(Labels(), 1.0, 1000)]).tolist() == [-1]
    assert times(made) == {}


def test_what_could_not_be_logged_is_as_if_it_had_never_been() -> None:
    """It is not found, is no measure of what is too old, and is not logged with the others later."""
    made = ring(4)
    one, two = Exemplar(Labels(), 1.0, 1000), Exemplar(Labels(), 1.0, 2000)
    made.settle(made.add(np.array([0, 1]), [one, one]), logged=True)
    made.settle(made.add(np.array([0, 2]), [two, two]), logged=False)

    assert times(made) == {SERIES[0]: [1000], SERIES[1]: [1000]}
    assert sorted(made.refs().tolist()) == [0, 1]
    between = made.add(np.array([0, 0]), [one, Exemplar(Labels(), 1.0, 1500)])
    assert between.tolist() == [-1, 4]
    assert [e.ts_ms for e in made.every()[1]] == [1000]
    made.settle(between[1:], logged=True)
    assert [e.ts_ms for e in made.every()[1]] == [1000, 1500]


def test_what_gave_way_meanwhile_is_not_settled() -> None:
    """Places are given to others: those stay as they are."""
    made = ring(2)
    first = made.add(np.array([0, 1]), [Exemplar(Labels(), 1.0, 1000)] * 2)
    made.add(np.array([2, 3]), [Exemplar(Labels(), 1.0, 1000)] * 2, logged=True)
    made.settle(first, logged=False)

    assert times(made) == {SERIES[2]: [1000], SERIES[3]: [1000]}

"""Series by labels: matchers, interning, forgetting."""

import numpy as np
import pytest

from model.errors import QueryError, StorageError
from model.labels import Labels, LabelTable, Matcher, MatchOp
from storage.tsdb.index import SeriesIndex
from storage.tsdb.limits import SeriesLimits

OPS = {op.value: op for op in MatchOp}
SERIES = {
    "a": {"__name__": "up", "job": "api", "zone": "a"},
    "b": {"__name__": "up", "job": "api-2"},
    "c": {"__name__": "up", "job": "db", "zone": "b\nc"},
    "d": {"__name__": "load", "job": "db"},
    "e": {"__name__": "load"},
}


def make(**series: dict[str, str]) -> tuple[SeriesIndex, dict[int, str]]:
    """Return an index and the letter of each ref."""
    index = SeriesIndex(SeriesLimits(1000))
    refs = index.intern([Labels.of(labels) for labels in series.values()])
    return index, dict(zip(refs.tolist(), series, strict=True))


@pytest.mark.parametrize(
    ("matchers", "wanted"),
    [
        ("__name__ = up", "abc"),
        ("job = db", "cd"),
        ("job = ", "e"),
        ("job != db", "abe"),
        ("job != ", "abcd"),
        ("nothing = ", "abcde"),
        ("nothing != ", ""),
        ("nothing = x", ""),
        ("nothing =~ .*", "abcde"),
        ("nothing =~ .+", ""),
        ("job =~ api", "a"),
        ("job =~ api.*", "ab"),
        ("job =~ api.+", "b"),
        ("job =~ api|db", "acd"),
        ("job =~ api|", "ae"),
        ("job =~ (a|d).*", "abcd"),
        ("job =~ .*", "abcde"),
        ("job =~ .+", "abcd"),
        ("job !~ api.*", "cde"),
        ("job !~ .*", ""),
        ("job !~ .+", "e"),
        ("job !~ api|", "bcd"),
        ("zone =~ b.c", "c"),
        ("job =~ a[p]i", "a"),
        ("job =~ pi", ""),
        ("__name__ = up; job =~ .*b; zone != a", "c"),
        ("__name__ = up; __name__ = load", ""),
    ],
)
def test_matchers(matchers: str, wanted: str) -> None:
    """Each matcher picks what Prometheus picks: anchored, a missing label is "", dot is any character."""
    index, letters = make(**SERIES)
    parsed = []
    for text in matchers.split("; "):
        name, op, value = (text + " ").split(" ")[:3]
        parsed.append(Matcher(name, OPS[op], value))

    found = index.select(parsed)

    assert "".join(letters[ref] for ref in found.tolist()) == wanted


def test_a_bad_pattern_is_the_askers_mistake() -> None:
    """An invalid regular expression is a QueryError that names it."""
    index, _ = make(**SERIES)

    with pytest.raises(QueryError, match=r"a\("):
        index.select([Matcher("job", MatchOp.REGEX, "a(")])


def test_a_pattern_is_right_for_series_that_come_later() -> None:
    """Verdicts that are kept grow with the dictionary."""
    index, _ = make(**SERIES)
    matcher = Matcher("job", MatchOp.REGEX, "a[p]i.*")
    before = len(index.select([matcher]))

    index.intern([Labels.of({"__name__": "up", "job": "api-3"})])

    assert (before, len(index.select([matcher]))) == (2, 3)


def test_the_same_labels_are_the_same_series() -> None:
    """Interning again, one by one or as a table, gives the same refs."""
    index, _ = make(**SERIES)
    labels = [Labels.of(one) for one in SERIES.values()]

    again = index.intern(labels[::-1])
    as_table = index.intern_table(LabelTable.from_labels(labels))

    assert again.tolist() == [4, 3, 2, 1, 0]
    assert as_table.tolist() == [0, 1, 2, 3, 4]
    assert index.size == 5


def test_a_table_gives_the_labels_back() -> None:
    """Codes lead to the labels, also of series that lack a label others have."""
    index, _ = make(**SERIES)

    assert index.table(np.array([4, 2])).rows() == [Labels.of(SERIES["e"]), Labels.of(SERIES["c"])]


def test_no_labels_at_all_is_a_series_too() -> None:
    """The empty label set is found by matchers that accept missing labels."""
    index = SeriesIndex(SeriesLimits(10))

    refs = index.intern([Labels(), Labels.of({"a": "1"}), Labels()])

    assert refs.tolist() == [0, 1, 0]
    assert index.select([Matcher("a", MatchOp.EQUAL, "")]).tolist() == [0]


def test_equal_hashes_do_not_mix_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Label sets whose hashes collide stay apart."""
    monkeypatch.setattr(
        "storage.tsdb.index.row_hashes", lambda columns, rows: np.zeros(rows, dtype=np.uint64)
    )
    index, letters = make(**SERIES)

    assert len(letters) == 5
    assert index.intern([Labels.of(SERIES["c"])]).tolist() == [2]
    assert index.table(np.arange(5)).rows() == [Labels.of(one) for one in SERIES.values()]


def test_the_limit_of_series_is_kept() -> None:
    """Beyond the limit registering fails and says what to do; known series are still given."""
    index = SeriesIndex(SeriesLimits(3))
    index.intern([Labels.of({"i": str(i)}) for i in range(3)])

    with pytest.raises(StorageError, match="max_series"):
        index.intern([Labels.of({"i": "4"})])

    assert index.intern([Labels.of({"i": "1"})]).tolist() == [1]


def test_forgotten_series_come_back_as_themselves() -> None:
    """A series that is forgotten is not found and does not count; with samples again it is the same."""
    index, _ = make(**SERIES)

    index.forget([np.array([0, 4])])
    gone = index.select([Matcher("job", MatchOp.EQUAL, "db")]).tolist()
    count = index.live
    back = index.intern([Labels.of(SERIES["d"])])

    assert (gone, count, back.tolist()) == ([], 2, [3])
    assert index.select([Matcher("job", MatchOp.EQUAL, "db")]).tolist() == [3]


def test_cardinality_counts_values_in_use() -> None:
    """Label names are counted by the values that live series have."""
    index, _ = make(**SERIES)
    index.forget([np.array([0, 1, 2])])

    assert index.cardinality() == {"__name__": 1, "job": 3, "zone": 2}
    assert index.series_by_metric() == {"up": 3}

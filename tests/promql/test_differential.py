"""Some rounds beside a real Prometheus; ``python -m tests.promql.differential`` makes as many as one likes."""

import random
from collections.abc import Iterator

import pytest

from tests.promql.differential import script_runs, walk_runs
from tests.promql.promqltest import SCRIPTS
from tests.promql.rival import Prometheus, difference
from tests.promql.served import InProcess, Server

pytestmark = [pytest.mark.peer, pytest.mark.slow]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """Return Prometheus and ours."""
    theirs, ours = Prometheus(), InProcess()
    yield theirs, ours
    theirs.stop()
    ours.stop()


@pytest.mark.parametrize("part", ["functions", "aggregations", "selectors"])
def test_kinds_of_arguments_give_the_same(servers: tuple[Server, Server], part: str) -> None:
    """Nearly all answers, notes and errors agree; ties are ordered by chance in Prometheus."""
    runs = list(walk_runs(*servers, random.Random(1), [part], 0))
    wrong = [str(one) for one in runs if one.wrong]

    assert len(runs) > 200
    assert len(wrong) <= len(runs) // 250, "\n".join(wrong)


@pytest.mark.skipif(not SCRIPTS.is_dir(), reason="../shared/promqltest is not there")
@pytest.mark.parametrize("name", ["at_modifier", "subquery", "fill-modifier"])
def test_changes_of_the_scripts_queries_give_the_same(
    servers: tuple[Server, Server], name: str
) -> None:
    """Random changes of written queries, sound ones and damaged ones."""
    runs = list(script_runs(SCRIPTS / f"{name}.test", *servers, random.Random(1), 2, 1))
    wrong = [str(one) for one in runs if one.wrong]

    assert runs
    assert len(wrong) <= len(runs) // 50, "\n".join(wrong)


def _answer(value: str, **more: object) -> tuple[int, object]:
    data = {"resultType": "vector", "result": [{"metric": {}, "value": [1, value]}]}
    return 200, {"status": "success", "data": data, **more}


@pytest.mark.parametrize(
    ("theirs", "ours", "differ"),
    [
        (_answer("1"), _answer("1.0000000000001"), False),
        (_answer("1"), _answer("1.0001"), True),
        (_answer("NaN"), _answer("NaN"), False),
        (_answer("+Inf"), _answer("-Inf"), True),
        (_answer("1", warnings=["a"]), _answer("1"), True),
        (_answer("1"), (422, {"status": "error", "errorType": "execution", "error": "x"}), True),
    ],
)
def test_differences_are_seen(
    theirs: tuple[int, object], ours: tuple[int, object], differ: bool
) -> None:
    """Numbers within rounding are the same; notes and errors are compared to the letter."""
    assert bool(difference(theirs, ours)) is differ

"""Runs Prometheus's test scripts on the engine: ``python -m tests.promql.promqltest [-v] [file...]``.

Prints passed/total by file three times: as written; instant cases as range queries around their
instant; and with ``@`` that instant added to each selector, at other times. The scripts' README
says which cases the second and third are for.
"""

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.errors import QueryError
from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import Floats, is_no_sample
from promql.engine import Engine
from promql.result import Matrix, Result, Scalar, String, Vector
from tests.promql.columns import ColumnStore
from tests.promql.histograms import Hist, from_pool, near, same
from tests.promql.pinned import can_be_pinned, pinned
from tests.promql.script import Block, Case, Value, blocks

SCRIPTS = Path(__file__).parents[2] / "../shared/promqltest"

Point = float | Hist
Points = dict[int, Point]


class WrongError(Exception):
    """What differs."""


class Outcome(Struct, frozen=True):
    """One case, and by check what was wrong with it ("" if nothing); checks that spare it are not there."""

    case: Case
    wrong: dict[str, str]


def _points(ts_ms: np.ndarray, values: Floats, hist: HistogramColumn | None, row: int) -> Points:
    out: Points = {}
    floats = ~is_no_sample(values)
    for i, t in enumerate(ts_ms.tolist()):
        if hist is not None and hist.index[row, i] >= 0:
            out[t] = from_pool(hist.pool, int(hist.index[row, i]))
        elif floats[i]:
            out[t] = float(values[i])
    return out


def answer(result: Result) -> list[tuple[Labels, Points]]:
    """Flatten an answer to series and points."""
    value = result.value
    if isinstance(value, Vector):
        at = np.array([value.ts_ms])
        return [
            (labels, _points(at, value.values[i : i + 1], value.hist, i))
            for i, labels in enumerate(value.labels.rows())
        ]
    assert isinstance(value, Matrix)
    return [
        (
            labels,
            _points(
                value.ts_ms if value.ts_ms.ndim == 1 else value.ts_ms[i],
                value.values[i],
                value.hist,
                i,
            ),
        )
        for i, labels in enumerate(value.labels.rows())
    ]


def _same_point(want: Point, got: Point) -> bool:
    if isinstance(want, Hist) or isinstance(got, Hist):
        return isinstance(want, Hist) and isinstance(got, Hist) and same(want, got)
    return near(want, got)


def _compare(want: dict[Labels, Points], got: list[tuple[Labels, Points]]) -> None:
    seen: dict[Labels, Points] = {}
    for labels, points in got:
        if labels in seen:
            raise WrongError(f"{labels} comes twice")
        seen[labels] = points
    for labels, points in want.items():
        if labels not in seen:
            raise WrongError(f"missing {dict(labels)} {points}; got {[dict(x) for x in seen]}")
        if points.keys() != seen[labels].keys():
            raise WrongError(f"{dict(labels)}: want points {points}, got {seen[labels]}")
        for t, value in points.items():
            if not _same_point(value, seen[labels][t]):
                raise WrongError(f"{dict(labels)} at {t}: want {value}, got {seen[labels][t]}")
    for labels, points in seen.items():
        if labels not in want:
            raise WrongError(f"unexpected {dict(labels)} {points}")


def _wanted(case: Case, start_ms: int, step_ms: int) -> dict[Labels, Points]:
    out: dict[Labels, Points] = {}
    for labels, values in case.series:
        points = {start_ms + i * step_ms: _plain(v) for i, v in enumerate(values) if v is not None}
        if points:
            out[labels] = points
    return out


def _plain(value: Value) -> Point:
    assert value is not None
    return value if isinstance(value, Hist) else float(value)


def _check_notes(case: Case, result: Result) -> None:
    for kind, texts in (("warn", result.warnings), ("info", result.infos)):
        if f"no_{kind}" in case.notes and texts:
            raise WrongError(f"unexpected {kind}: {texts}")
        if kind not in case.notes:
            continue
        if not texts:
            raise WrongError(f"no {kind} came")
        wanted = case.notes[kind]
        for how, text in wanted:
            if not any(_note_matches(how, text, t) for t in texts):
                raise WrongError(f"want {kind} {text!r}, got {texts}")
        for t in texts if wanted else ():
            if not any(_note_matches(how, text, t) for how, text in wanted):
                raise WrongError(f"{kind} not asked for: {t}")


def _note_matches(how: str, text: str, got: str) -> bool:
    return text == got if how == "msg" else re.search(text, got) is not None


def _check_value(case: Case, result: Result) -> None:
    value = result.value
    if case.string is not None:
        if not isinstance(value, String) or value.value != case.string:
            raise WrongError(f"want string {case.string!r}, got {value}")
    elif case.scalar is not None:
        if isinstance(value, Scalar):
            if not near(case.scalar, float(value.values[0])):
                raise WrongError(f"want {case.scalar}, got {value.values[0]}")
            return
        if not case.is_range:
            raise WrongError(f"want scalar {case.scalar}, got {type(value).__name__}")
        steps = range(case.start_ms, case.end_ms + 1, case.step_ms)
        _compare({Labels(): dict.fromkeys(steps, case.scalar)}, answer(result))
    elif case.vector_range is not None:
        start, _, step = case.vector_range
        _compare(_wanted(case, start, step), answer(result))
    else:
        _compare(_wanted(case, case.start_ms, case.step_ms), answer(result))
        if case.ordered and [x for x, _ in answer(result)] != [x for x, _ in case.series]:
            raise WrongError(f"order: {[dict(x) for x, _ in answer(result)]}")


def _run(engine: Engine, case: Case, store: ColumnStore) -> None:
    """Run a case as it is written.

    Raises:
        WrongError: If the answer is not what the script says.
    """
    try:
        if case.is_range:
            result = engine.range(store, case.query, case.start_ms, case.end_ms, case.step_ms)
        else:
            result = engine.instant(store, case.query, case.start_ms)
    except QueryError as err:
        if not case.fail:
            raise WrongError(f"failed: {err}") from None
        if case.fail_text is not None and case.fail_text != str(err):
            raise WrongError(f"want error {case.fail_text!r}, got {str(err)!r}") from None
        if case.fail_regex is not None and not re.search(case.fail_regex, str(err)):
            raise WrongError(f"want error like {case.fail_regex!r}, got {str(err)!r}") from None
        return
    if case.fail:
        raise WrongError("did not fail")
    _check_notes(case, result)
    _check_value(case, result)


_SPARED = re.compile(r"\b(start|end|range|step)\(\)", re.IGNORECASE)


def _run_around(engine: Engine, case: Case, store: ColumnStore) -> None:
    """Ask an instant case as a range query around its instant.

    Raises:
        WrongError: If the answer at that instant is not the same.
    """
    at = case.start_ms
    try:
        result = engine.range(store, case.query, at - 60_000, at + 60_000, 60_000)
    except QueryError as err:
        raise WrongError(f"failed: {err}") from None
    got = [(labels, {at: points[at]}) for labels, points in answer(result) if at in points]
    want = _wanted(case, at, 0)
    if case.scalar is not None:
        want = {Labels(): {at: case.scalar}}
    _compare(want, got)


def _run_pinned(engine: Engine, case: Case, store: ColumnStore) -> None:
    """Ask an instant case with its instant pinned down, at other times.

    Raises:
        WrongError: If the answer is not the same.
    """
    query, at = pinned(case.query, case.start_ms), case.start_ms
    for time_ms in (-10 * at, 0, at // 5, at, 10 * at) if at else (-1000, 0, 1000):
        try:
            result = engine.instant(store, query, time_ms)
        except QueryError as err:
            if case.fail:
                continue
            raise WrongError(f"{query} at {time_ms}: failed: {err}") from None
        if case.fail:
            raise WrongError(f"{query} at {time_ms}: did not fail")
        try:
            _check_value(replace(case, start_ms=time_ms), result)
        except WrongError as err:
            raise WrongError(f"{query} at {time_ms}: {err}") from None


def _checks(case: Case) -> Iterator[str]:
    """Name the checks a case is for."""
    yield "plain"
    odd = case.string is not None or case.vector_range is not None
    if case.is_range:
        return
    if not (odd or case.ordered or case.fail or _SPARED.search(case.query)):
        yield "as range"
    if not odd and can_be_pinned(case.query):
        yield "with @"


CHECKS: Final[dict[str, Callable[[Engine, Case, ColumnStore], None]]] = {
    "plain": _run,
    "as range": _run_around,
    "with @": _run_pinned,
}


def run_block(engine: Engine, block: Block) -> Outcome:
    """Make every check a case is for."""
    wrong = {}
    for name in _checks(block.case):
        try:
            CHECKS[name](engine, block.case, block.store)
            wrong[name] = ""
        except WrongError as err:
            wrong[name] = str(err)
        except Exception as err:
            trace = traceback.extract_tb(err.__traceback__)[-1]
            where = f"{Path(trace.filename).name}:{trace.lineno}"
            wrong[name] = f"CRASH {type(err).__name__}: {err} at {where}"
    return Outcome(block.case, wrong)


def run_file(path: Path) -> Iterator[Outcome]:
    """Run every case of a script."""
    engine = Engine()
    for block in blocks(path):
        yield run_block(engine, block)


def main(argv: list[str]) -> int:
    """Print the table; 1 if anything is wrong."""
    verbose = "-v" in argv
    wanted = [a for a in argv if not a.startswith("-")]
    if not SCRIPTS.is_dir():
        print(f"the scripts are not here: {SCRIPTS}")
        return 0
    sums = dict.fromkeys(CHECKS, (0, 0))
    print(f"{'file':24}" + "".join(f"{name:>14}" for name in CHECKS))
    for path in sorted(SCRIPTS.glob("*.test")):
        if wanted and path.stem not in wanted:
            continue
        outcomes = list(run_file(path))
        counts = {name: _count(outcomes, name) for name in CHECKS}
        sums = {name: (sums[name][0] + a, sums[name][1] + b) for name, (a, b) in counts.items()}
        print(_row(path.stem, counts))
        for outcome in outcomes if verbose else ():
            for name, text in outcome.wrong.items():
                if text:
                    print(f"    {path.name}:{outcome.case.line}: {outcome.case.query}")
                    print(f"        {name}: {text[:400]}")
    print(_row("total", sums))
    return int(any(passed < total for passed, total in sums.values()))


def _count(outcomes: list[Outcome], name: str) -> tuple[int, int]:
    found = [o.wrong[name] for o in outcomes if name in o.wrong]
    return found.count(""), len(found)


def _row(name: str, counts: dict[str, tuple[int, int]]) -> str:
    return f"{name:24}" + "".join(f"{f'{a} of {b}':>14}" for a, b in counts.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

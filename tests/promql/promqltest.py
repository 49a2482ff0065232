"""Runs Prometheus's test scripts on the engine: ``python -m tests.promql.promqltest [-v] [file...]``.

Prints passed/total by file; a second pair counts the cases without histogram literals.
"""

import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.errors import QueryError
from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import Floats, is_no_sample
from promql.engine import Engine
from promql.result import Matrix, Result, Scalar, String, Vector
from tests.promql.columns import ColumnStore
from tests.promql.histograms import Hist, from_pool, near, same
from tests.promql.script import Block, Case, Value, blocks

SCRIPTS = Path(__file__).parents[2] / "../shared/promqltest"

Point = float | Hist
Points = dict[int, Point]


class WrongError(Exception):
    """What differs."""


@dataclass(frozen=True)
class Outcome:
    """One case and what was wrong with it ("" if nothing)."""

    case: Case
    wrong: str


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
    spared = case.is_range or case.ordered or case.fail or case.string is not None
    if spared or case.vector_range is not None or _SPARED.search(case.query):
        return
    at = case.start_ms
    try:
        result = engine.range(store, case.query, at - 60_000, at + 60_000, 60_000)
    except QueryError as err:
        raise WrongError(f"as a range: failed: {err}") from None
    got = [(labels, {at: points[at]}) for labels, points in answer(result) if at in points]
    want = _wanted(case, at, 0)
    if case.scalar is not None:
        want = {Labels(): {at: case.scalar}}
    try:
        _compare(want, got)
    except WrongError as err:
        raise WrongError(f"as a range: {err}") from None


def run_block(engine: Engine, block: Block) -> Outcome:
    """Run one case both ways."""
    try:
        _run(engine, block.case, block.store)
        _run_around(engine, block.case, block.store)
    except WrongError as err:
        return Outcome(block.case, str(err))
    except Exception as err:
        trace = traceback.extract_tb(err.__traceback__)[-1]
        where = f"{Path(trace.filename).name}:{trace.lineno}"
        return Outcome(block.case, f"CRASH {type(err).__name__}: {err} at {where}")
    return Outcome(block.case, "")


def run_file(path: Path) -> Iterator[Outcome]:
    """Run every case of a script."""
    engine = Engine()
    for block in blocks(path):
        yield run_block(engine, block)


def main(argv: list[str]) -> int:
    """Print the table."""
    verbose = "-v" in argv
    wanted = [a for a in argv if not a.startswith("-")]
    if not SCRIPTS.is_dir():
        print(f"the scripts are not here: {SCRIPTS}")
        return 0
    sums = [0, 0, 0, 0]
    print(f"{'file':24}{'passed':>8}{'total':>7}{'%':>7}   {'without {{':>10}{'total':>7}{'%':>7}")
    for path in sorted(SCRIPTS.glob("*.test")):
        if wanted and path.stem not in wanted:
            continue
        outcomes = list(run_file(path))
        plain = [o for o in outcomes if not o.case.has_histogram]
        row = [sum(not o.wrong for o in outcomes), len(outcomes)]
        row += [sum(not o.wrong for o in plain), len(plain)]
        sums = [a + b for a, b in zip(sums, row, strict=True)]
        print(_row(path.stem, row))
        for outcome in outcomes if verbose else ():
            if outcome.wrong:
                print(f"    {path.name}:{outcome.case.line}: {outcome.case.query}")
                print(f"        {outcome.wrong[:400]}")
    print(_row("total", sums))
    return 0


def _row(name: str, row: list[int]) -> str:
    shares = [100 * a / b if b else 100.0 for a, b in (row[:2], row[2:])]
    return f"{name:24}{row[0]:>8}{row[1]:>7}{shares[0]:>7.1f}   {row[2]:>10}{row[3]:>7}{shares[1]:>7.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

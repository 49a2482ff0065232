"""Runs Prometheus's test scripts over HTTP: ``python -m tests.promql.over_http [-v] [--url URL | --in-process] [file...]``.

What stands between two ``clear``s is a block: it gets a server of its own, fresh and empty. Each
``load`` is sent as remote write (2.0 where there are start timestamps, else 1.0), each ``eval`` is a
request to the query API. Prints passed/total by file, and how long servers took to be ready.
"""

import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from model.labels import Labels
from tests.promql.columns import ColumnStore
from tests.promql.histograms import Hist, near
from tests.promql.promqltest import SCRIPTS, WrongError
from tests.promql.script import Case, Value, commands, load, parse_case
from tests.promql.sending import requests_of
from tests.promql.served import InProcess, Process, Server

Bucket = tuple[int, float, float, float]


class Seen(Struct, frozen=True):
    """A histogram as the API shows it."""

    count: float
    sum: float
    buckets: tuple[Bucket, ...]


Point = float | Seen
Points = dict[int, Point]


class Outcome(Struct, frozen=True):
    """One case and what was wrong with it ("" if nothing)."""

    file: str
    case: Case
    wrong: str


def seen(hist: Hist) -> Seen:
    """Return a histogram as the API must show it."""
    if hist.schema == -53:
        edges = [float("-inf"), *hist.bounds, float("inf")]
        found = [
            (3 if i == 0 else 0, edges[i], edges[i + 1], count)
            for i, count in sorted(hist.positive.items())
        ]
        return Seen(hist.count, hist.sum, tuple(b for b in found if b[3]))

    def bound(index: int) -> float:
        try:
            return float(2.0 ** (index * 2.0**-hist.schema))
        except OverflowError:
            return float("inf")

    below = [(1, -bound(i), -bound(i - 1), c) for i, c in sorted(hist.negative.items())[::-1]]
    above = [(0, bound(i - 1), bound(i), c) for i, c in sorted(hist.positive.items())]
    zero = [(3, -hist.zero_threshold, hist.zero_threshold, hist.zero_count)]
    found = [
        *(b for b in below if b[3]),
        *(z for z in zero if z[3] > 0),
        *(b for b in above if b[3]),
    ]
    return Seen(hist.count, hist.sum, tuple(found))


def _seen_json(data: Any) -> Seen:
    buckets = tuple(
        (int(k), float(a), float(b), float(c)) for k, a, b, c in data.get("buckets", ())
    )
    return Seen(float(data["count"]), float(data["sum"]), buckets)


def _equal(want: Point, got: Point) -> bool:
    if isinstance(want, float) or isinstance(got, float):
        return isinstance(want, float) and isinstance(got, float) and near(want, got)
    if not near(want.count, got.count) or not near(want.sum, got.sum):
        return False
    if len(want.buckets) != len(got.buckets):
        return False
    return all(
        a[0] == b[0] and all(map(near, a[1:], b[1:]))
        for a, b in zip(want.buckets, got.buckets, strict=True)
    )


def _answer(data: Any) -> list[tuple[Labels, Points]]:
    """Flatten a vector or matrix."""
    out = []
    for series in data["result"]:
        points: Points = {}
        found = [*series.get("values", ()), *([series["value"]] if "value" in series else ())]
        points |= {round(t * 1000): float(v) for t, v in found}
        hists = [
            *series.get("histograms", ()),
            *([series["histogram"]] if "histogram" in series else ()),
        ]
        points |= {round(t * 1000): _seen_json(h) for t, h in hists}
        out.append((Labels.of(series["metric"]), points))
    return out


def _compare(want: dict[Labels, Points], got: list[tuple[Labels, Points]]) -> None:
    held: dict[Labels, Points] = {}
    for labels, points in got:
        if labels in held:
            raise WrongError(f"{dict(labels)} comes twice")
        held[labels] = points
    if want.keys() != held.keys():
        raise WrongError(f"want series {[dict(x) for x in want]}, got {[dict(x) for x in held]}")
    for labels, points in want.items():
        if points.keys() != held[labels].keys():
            raise WrongError(f"{dict(labels)}: want points {points}, got {held[labels]}")
        for t, value in points.items():
            if not _equal(value, held[labels][t]):
                raise WrongError(f"{dict(labels)} at {t}: want {value}, got {held[labels][t]}")


def _plain(value: Value) -> Point:
    assert value is not None
    return seen(value) if isinstance(value, Hist) else float(value)


def _wanted(case: Case, start_ms: int, step_ms: int) -> dict[Labels, Points]:
    out: dict[Labels, Points] = {}
    for labels, values in case.series:
        points = {start_ms + i * step_ms: _plain(v) for i, v in enumerate(values) if v is not None}
        if points:
            out[labels] = points
    return out


def _matches(how: str, text: str, got: str) -> bool:
    return text == got if how == "msg" else re.search(text, got) is not None


def _check_notes(case: Case, body: Any) -> None:
    for kind, key in (("warn", "warnings"), ("info", "infos")):
        texts = body.get(key) or []
        if f"no_{kind}" in case.notes and texts:
            raise WrongError(f"unexpected {kind}: {texts}")
        if kind not in case.notes:
            continue
        if not texts:
            raise WrongError(f"no {kind} came")
        wanted = case.notes[kind]
        for how, text in wanted:
            if not any(_matches(how, text, t) for t in texts):
                raise WrongError(f"want {kind} {text!r}, got {texts}")
        for t in texts if wanted else ():
            if not any(_matches(how, text, t) for how, text in wanted):
                raise WrongError(f"{kind} not asked for: {t}")


def _check_value(case: Case, data: Any) -> None:
    if case.string is not None:
        if data["resultType"] != "string" or data["result"][1] != case.string:
            raise WrongError(f"want string {case.string!r}, got {data}")
    elif case.scalar is not None and not case.is_range:
        if data["resultType"] != "scalar" or not near(case.scalar, float(data["result"][1])):
            raise WrongError(f"want scalar {case.scalar}, got {data}")
    elif case.scalar is not None:
        steps = range(case.start_ms, case.end_ms + 1, case.step_ms)
        _compare({Labels(): dict.fromkeys(steps, case.scalar)}, _answer(data))
    elif case.vector_range is not None:
        start, _, step = case.vector_range
        _compare(_wanted(case, start, step), _answer(data))
    else:
        if data["resultType"] != ("matrix" if case.is_range else "vector"):
            raise WrongError(f"got a {data['resultType']}: {data['result']}")
        _compare(_wanted(case, case.start_ms, case.step_ms), _answer(data))
        order = [x for x, _ in _answer(data)]
        if case.ordered and order != [x for x, _ in case.series]:
            raise WrongError(f"order: {[dict(x) for x in order]}")


def _run(server: Server, case: Case) -> None:
    """Ask a case as it is written.

    Raises:
        WrongError: If the answer is not what the script says.
    """
    if case.is_range:
        status, body = server.query_range(case.query, case.start_ms, case.end_ms, case.step_ms)
    else:
        status, body = server.query(case.query, case.start_ms)
    if body["status"] != "success":
        error = body["error"].removeprefix('invalid parameter "query": ')
        if not case.fail or status // 100 != 4:
            raise WrongError(f"failed with {status}: {error}")
        if case.fail_text is not None and case.fail_text != error:
            raise WrongError(f"want error {case.fail_text!r}, got {error!r}")
        if case.fail_regex is not None and not re.search(case.fail_regex, error):
            raise WrongError(f"want error like {case.fail_regex!r}, got {error!r}")
        return
    if case.fail:
        raise WrongError("did not fail")
    _check_notes(case, body)
    _check_value(case, body["data"])


_SPARED = re.compile(r"\b(start|end|range|step)\(\)", re.IGNORECASE)


def _run_around(server: Server, case: Case) -> None:
    """Ask an instant case as a range query around its instant.

    Raises:
        WrongError: If the answer at that instant is not the same.
    """
    spared = case.is_range or case.ordered or case.fail or case.string is not None
    if spared or case.vector_range is not None or _SPARED.search(case.query):
        return
    at = case.start_ms
    _, body = server.query_range(case.query, at - 60_000, at + 60_000, 60_000)
    if body["status"] != "success":
        raise WrongError(f"as a range: failed: {body['error']}")
    got = [(x, {at: points[at]}) for x, points in _answer(body["data"]) if at in points]
    want = _wanted(case, at, 0)
    if case.scalar is not None:
        want = {Labels(): {at: case.scalar}}
    try:
        _compare(want, got)
    except WrongError as err:
        raise WrongError(f"as a range: {err}") from None


def _send(server: Server, lines: list[str]) -> None:
    """Run a load command."""
    store = ColumnStore()
    load(store, lines)
    for body, version in requests_of(store):
        server.write(body, version)


def run_file(path: Path, server: Server) -> Iterator[Outcome]:
    """Run every case of a script; the server is made anew for each block."""
    server.fresh()
    wrong_load = ""
    for line, held in commands(path):
        word = held[0].split()[0]
        if word == "clear":
            server.fresh()
            wrong_load = ""
        elif word.startswith("load"):
            try:
                _send(server, held)
            except RuntimeError as error:
                wrong_load = f"line {line} cannot be loaded: {error}; "
        else:
            case = parse_case(line, held)
            try:
                _run(server, case)
                _run_around(server, case)
            except WrongError as error:
                yield Outcome(path.name, case, wrong_load + str(error))
            except (OSError, KeyError, ValueError, TypeError) as error:
                yield Outcome(path.name, case, f"{wrong_load}no answer: {error!r}")
            else:
                yield Outcome(path.name, case, "")


def main(argv: list[str]) -> int:
    """Print the table; 1 if a case failed."""
    if not SCRIPTS.is_dir():
        print(f"the scripts are not here: {SCRIPTS}")
        return 0
    wanted = [a for a in argv if not a.startswith("-")]
    server: Server = InProcess() if "--in-process" in argv else Process()
    passed = total = 0
    failures = []
    print(f"{'file':24}{'passed':>8}{'total':>7}")
    try:
        for path in sorted(SCRIPTS.glob("*.test")):
            if wanted and path.stem not in wanted:
                continue
            outcomes = list(run_file(path, server))
            good = sum(not o.wrong for o in outcomes)
            passed, total = passed + good, total + len(outcomes)
            print(f"{path.stem:24}{good:>8}{len(outcomes):>7}", flush=True)
            failures += [o for o in outcomes if o.wrong]
    finally:
        server.stop()
    print(f"{'total':24}{passed:>8}{total:>7}")
    if server.ready_seconds:
        middle, worst = statistics.median(server.ready_seconds), max(server.ready_seconds)
        print(
            f"{len(server.ready_seconds)} servers, ready after {middle:.2f} s (median), {worst:.2f} s (most)"
        )
    for one in failures if "-v" in argv else ():
        print(f"{one.file}:{one.case.line}: {one.case.query}\n    {one.wrong[:400]}")
    return int(passed < total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

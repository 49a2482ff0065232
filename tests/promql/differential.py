"""Compares the engine with a real Prometheus: ``python -m tests.promql.differential [options]``.

    --seed N       what the random choices start from (default 1)
    --each N       queries made of each one of the scripts (default 2)
    --damaged N    texts made of each one that are likely no queries (default 0)
    --walk PART... every function, aggregation, operator and selector with every kind of argument
    --nest N       and so many changes of those (default 0)
    --process      ask the whole server over HTTP instead of its endpoints in this process
    FILE...        only these scripts

Both get the samples of Prometheus's test scripts by remote write and are asked the scripts' queries
and random changes of them. Prints each query that is answered differently.
"""

import argparse
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tests.promql.columns import ColumnStore
from tests.promql.mutations import damaged, mutated
from tests.promql.promqltest import SCRIPTS
from tests.promql.rival import Prometheus, difference
from tests.promql.script import Case, commands, load, parse_case
from tests.promql.sending import requests_of
from tests.promql.served import InProcess, Process, Server
from tests.promql.walk import LOADS, PARTS

ORDERED = re.compile(r"\s*(sort|sort_desc|sort_by_label|sort_by_label_desc|topk|bottomk)\b")


class Asked(Struct, frozen=True):
    """One query at its times, and how the answers differ."""

    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    wrong: str

    def __str__(self) -> str:
        when = f"at {self.start_ms}"
        if self.step_ms:
            when = f"from {self.start_ms} to {self.end_ms} step {self.step_ms}"
        return f"{when}: {self.query}\n    {self.wrong}"


def ask(
    theirs: Server, ours: Server, query: str, start_ms: int, end_ms: int, step_ms: int
) -> Asked:
    """Ask both; instant if there is no step."""
    if step_ms:
        answers = [s.query_range(query, start_ms, end_ms, step_ms) for s in (theirs, ours)]
    else:
        answers = []
        for server in (theirs, ours):
            try:
                answers.append(server.query(query, start_ms))
            except Exception as error:
                answers.append((0, {"status": "crash", "error": repr(error)}))
    ordered = not step_ms and ORDERED.match(query) is not None
    return Asked(query, start_ms, end_ms, step_ms, difference(*answers, ordered=ordered))


def _times(rng: random.Random, case: Case) -> tuple[int, int, int]:
    """Return the times of a case, or a range around them."""
    if case.is_range:
        return case.start_ms, case.end_ms, case.step_ms
    if rng.random() < 0.6:
        return case.start_ms + rng.choice([0, 0, 0, 0, 60_000, 150_000, -1000]), 0, 0
    step = rng.choice([15_000, 60_000, 77_777, 300_000])
    start = max(0, case.start_ms - rng.randint(0, 10) * step)
    return start, start + rng.randint(0, 15) * step, step


def script_runs(
    path: Path, theirs: Server, ours: Server, rng: random.Random, each: int, broken: int
) -> Iterator[Asked]:
    """Run the cases of a script, each with changes of it; the data of a block is sent to both."""
    block: list[Case] = []

    def run() -> Iterator[Asked]:
        queries = [case.query for case in block]
        for case in block:
            yield ask(theirs, ours, case.query, *_own_times(case))
            for _ in range(each):
                query = mutated(rng, case.query, queries)
                yield ask(theirs, ours, query, *_times(rng, case))
            for _ in range(broken):
                yield ask(theirs, ours, damaged(rng, case.query), case.start_ms, 0, 0)
        block.clear()

    def fresh() -> None:
        theirs.fresh()
        ours.fresh()

    fresh()
    for line, held in commands(path):
        word = held[0].split()[0]
        if word == "clear":
            yield from run()
            fresh()
        elif word.startswith("load"):
            yield from run()
            _send(held, (theirs, ours))
        else:
            block.append(parse_case(line, held))
    yield from run()


def walk_runs(
    theirs: Server, ours: Server, rng: random.Random, parts: Sequence[str], nest: int
) -> Iterator[Asked]:
    """Run the tables of kinds, each query at an instant or over a range; then changes of them."""
    for server in (theirs, ours):
        server.fresh()
    _send(list(LOADS), (theirs, ours))
    for part in parts:
        queries = list(PARTS[part](rng))
        for query in queries:
            yield ask(theirs, ours, query, *_random_times(rng))
        for _ in range(nest):
            query = mutated(rng, rng.choice(queries), queries)
            yield ask(theirs, ours, query, *_random_times(rng))


def _random_times(rng: random.Random) -> tuple[int, int, int]:
    start = rng.choice([0, 15_000, 150_000, 300_000, 333_333, 420_000, 700_000])
    if rng.random() < 0.5:
        return start, 0, 0
    step = rng.choice([15_000, 60_000, 77_777, 7_000])
    return start, start + rng.randint(0, 12) * step, step


def _own_times(case: Case) -> tuple[int, int, int]:
    return (case.start_ms, case.end_ms, case.step_ms) if case.is_range else (case.start_ms, 0, 0)


def _send(lines: list[str], servers: Sequence[Server]) -> None:
    store = ColumnStore()
    load(store, lines)
    for body, version in requests_of(store):
        for server in servers:
            try:
                server.write(body, version)
            except RuntimeError as error:
                print(f"{type(server).__name__} refuses: {error}", flush=True)


def _plan(
    options: argparse.Namespace, theirs: Server, ours: Server, rng: random.Random
) -> Iterator[tuple[str, Iterator[Asked]]]:
    if options.walk is not None:
        yield "walk", walk_runs(theirs, ours, rng, options.walk or list(PARTS), options.nest)
        return
    for path in sorted(SCRIPTS.glob("*.test")):
        if not options.files or path.stem in options.files:
            yield (
                path.stem,
                script_runs(path, theirs, ours, rng, options.each, options.damaged),
            )


def main(argv: Sequence[str]) -> int:
    """Print what differs; 1 if anything does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=2)
    parser.add_argument("--damaged", type=int, default=0)
    parser.add_argument("--walk", nargs="*", choices=PARTS, default=None)
    parser.add_argument("--nest", type=int, default=0)
    parser.add_argument("--process", action="store_true")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args(argv)
    theirs = Prometheus()
    ours: Server = Process() if options.process else InProcess()
    rng = random.Random(options.seed)
    asked = wrong = 0
    try:
        for name, runs in _plan(options, theirs, ours, rng):
            for one in runs:
                asked += 1
                if one.wrong:
                    wrong += 1
                    print(f"{name} {one}", flush=True)
    finally:
        theirs.stop()
        ours.stop()
    print(f"{asked} asked, {wrong} answered differently")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

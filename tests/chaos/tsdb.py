"""The series store under ``kill -9``: at random moments and at every failpoint, again and again.

``python -m tests.chaos.tsdb --kills 200 --seed 1`` prints one line a kill and a table; exit status 1
if a sample that was acknowledged is lost, wrong or there twice. Each directory takes some kills one
after the other, so that a recovery starts from what a recovery left.
"""

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from storage.tsdb.failpoints import PLACES
from tests.storage.tsdb.crash_ledger import Verdict
from tests.storage.tsdb.test_crash import FIRST_MS, ROUND_MS, reopen, write_until_killed

_KILLS_A_DIRECTORY = 10
_LONGEST_SECONDS = 6.0  # a failpoint that is not reached by then counts as a kill at random
_RARE = {"wal.segment_dropped", "block.removing", "delete.noted", "compact.merged"}


class Kill(Struct, frozen=True):
    """One kill and what was found afterwards.

    Attributes:
        place: Where the writer died: a failpoint, or ``random``.
        verdict: What is amiss.
        start_seconds: How long the start after it took.
    """

    place: str
    verdict: Verdict
    start_seconds: float


def run(kills: int, seed: int, scratch: Path) -> Iterator[Kill]:
    """Kill a writer so many times; every failpoint has its turn, every other kill is at random."""
    rng = random.Random(seed)
    places = itertools.cycle(rng.sample(PLACES, len(PLACES)))
    for number in range(kills):
        directory = scratch / f"tsdb{number // _KILLS_A_DIRECTORY}"
        ledger = directory.with_suffix(".ledger")
        ledger.touch()
        first_ms = FIRST_MS + number * ROUND_MS
        place = next(places) if number % 2 else ""
        times = rng.randrange(
            1, 4 if place in _RARE or place.startswith(("block", "compact")) else 60
        )
        seconds = _LONGEST_SECONDS if place else rng.uniform(0.02, 1.5)
        die = f"{place}:{times}" if place else ""
        reached = write_until_killed(directory, ledger, first_ms, seconds, die)
        verdict, took = reopen(directory, ledger, first_ms + ROUND_MS // 2)
        yield Kill(place if reached else "random", verdict, took)
        if (number + 1) % _KILLS_A_DIRECTORY == 0:
            shutil.rmtree(directory)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}: --seed {wanted.seed} does the same kills again", flush=True)
    by_place: dict[str, list[Kill]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="chaos-tsdb-") as scratch:
        for number, kill in enumerate(run(wanted.kills, wanted.seed, Path(scratch)), 1):
            by_place[kill.place].append(kill)
            found = kill.verdict
            print(
                f"{number:4d} {kill.place:24} start {kill.start_seconds:5.2f} s  "
                f"checked {found.checked:8d}  lost {len(found.lost)}  wrong {len(found.wrong)}  "
                f"twice {len(found.twice)}",
                flush=True,
            )
            for one in (found.lost + found.wrong + found.twice)[:5]:
                print(f"     {one}")
    print(
        f"\n{'killed at':24} {'kills':>6} {'lost':>6} {'wrong':>6} {'twice':>6} {'start, s (most)':>16}"
    )
    for place, kills in sorted(by_place.items()):
        sums = [sum(len(getattr(k.verdict, w)) for k in kills) for w in ("lost", "wrong", "twice")]
        most = max(k.start_seconds for k in kills)
        print(f"{place:24} {len(kills):6d} {sums[0]:6d} {sums[1]:6d} {sums[2]:6d} {most:16.2f}")
    never = [place for place in PLACES if place not in by_place]
    if never:
        print(f"not reached: {', '.join(never)}")
    every = [kill for kills in by_place.values() for kill in kills]
    well = all(kill.verdict.well for kill in every)
    print(f"{len(every)} kills: {'all well' if well else 'NOT WELL'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

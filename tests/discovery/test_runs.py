"""Events and inspections of one container, in any order, give the same runs."""

import pytest

from discovery.docker.runs import Runs


def play(script: str) -> Runs:
    """Play a script; times in seconds.

    ``s10`` start event at 10, ``d20=1`` died with 1, ``o15`` OOM event, ``i9`` inspection of a run
    started at 9 that runs, ``i9-20=1`` one that ended, ``!`` behind it OOMKilled, ``k`` before ``=``
    stopped by somebody.
    """
    runs = Runs()
    for word in script.split():
        kind, rest = word[0], word[1:].rstrip("!")
        times, _, code = rest.partition("=")
        stopped = times.endswith("k")
        start, _, end = times.rstrip("k").partition("-")
        at = int(float(start) * 1000)
        match kind:
            case "s":
                runs.started(at)
            case "o":
                runs.oom(at)
            case "d":
                runs.died(at, int(code), stopped=stopped)
            case "i":
                runs.inspected(
                    at,
                    int(float(end or 0) * 1000),
                    running=not end,
                    code=int(code or 0),
                    oom=word.endswith("!"),
                    reason="",
                    restart_count=0,
                    stopped=stopped,
                )
    return runs


def show(runs: Runs) -> str:
    """Write runs as ``1:9-20=1!``: number, start, end, code, OOM."""
    words = []
    for run in runs.all():
        end = ""
        if run.ended_ms is not None:
            code = "?" if run.exit is None or run.exit.code is None else str(run.exit.code)
            oom = "!" if run.exit and run.exit.oom else ""
            end = f"{run.ended_ms / 1000:g}={code}{oom}"
        words.append(f"{run.number}:{run.started_ms / 1000:g}-{end}")
    return " ".join(words)


@pytest.mark.parametrize(
    ("script", "want", "kills"),
    [
        ("s10 d20=1", "1:10-20=1", 0),
        ("s10.2 i10", "1:10-", 0),  # the event comes a little after Docker's own time
        ("i10 s10.2 d20=0", "1:10-20=0", 0),
        ("i10 s10.2 d20.3=2 i10-20=2", "1:10-20=2", 0),
        ("s10 d20=1 s21 d22=1 s23", "1:10-20=1 2:21-22=1 3:23-", 0),
        ("s10 i21 d20=1 s21.1", "1:10-20=1 2:21-", 0),  # inspection already shows the next run
        ("s10 i21-22=3 d20=1 s21.1 d22.1=3", "1:10-20=1 2:21-22=3", 0),
        ("i10 i30", "1:10-30=? 2:30-", 0),  # its end was missed
        ("d20=1", "1:20-20=1", 0),  # only the end was seen
        ("s10 o19 d20=137", "1:10-20=137!", 1),
        ("s10 d20=137 o20.5", "1:10-20=137!", 1),  # the notice comes late
        ("s10 o19 d20=137 i9-20=137!", "1:9-20=137!", 1),
        ("i9-20=137!", "1:9-20=137!", 1),
        ("s10 o12", "1:10-", 1),  # a child that the task survived
        ("s10 o12 d60k=137 i9-60=137!", "1:9-60=137", 1),  # ... until somebody stopped it
        ("s10 o12 d60=0 i9-60=0!", "1:9-60=0", 1),
        ("s10 o12 d60=1 i9-60=1!", "1:9-60=1", 1),  # long after: not the cause
        ("s10 o12 o14 o19 d20=137", "1:10-20=137!", 3),
        ("s10 d20=1 i5-6=9", "1:10-20=1", 0),  # an old answer changes nothing
    ],
)
def test_events_and_inspections_give_runs(script: str, want: str, kills: int) -> None:
    """Runs, their ends and the number of OOM kills are right whatever comes first."""
    runs = play(script)

    assert show(runs) == want
    assert runs.oom_kills == kills


def test_runs_are_bounded_and_numbers_go_on() -> None:
    """A crash loop of days costs no memory, and its runs keep counting."""
    runs = Runs()
    for n in range(500):
        runs.started(n * 1000)
        runs.died(n * 1000 + 500, 1)

    assert len(runs.all()) == 50
    assert runs.last_number == 500


def test_remembered_runs_go_on_after_a_restart() -> None:
    """Runs from the file are not doubled by the first inspection."""
    before = play("s10 d20=1 s21 i21")
    after = Runs(before.all(), before.oom_kills)

    after.inspected(
        21_000, 0, running=True, code=0, oom=False, reason="", restart_count=1, stopped=False
    )

    assert after.all() == before.all()

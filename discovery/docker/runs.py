"""The runs of one container, put together from events and inspections that may come in any order.

Events say what happened (start, oom, die), an inspection what is the case now; after a quick
restart it may already show the next run while the events of the one before still wait. So each run
remembers who has told of it, and both are matched by time.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from discovery.source import KEPT_RUNS
from model.task import Exit, Run

# An OOM notice and the death it caused come from two sources in either order.
_OOM_WINDOW_MS: Final = 3_000
_EVENT_DELAY_MS: Final = 5_000  # a start event comes at most this long after Docker's own time
_SIGKILLED: Final = 137  # 128 + SIGKILL


class _Run(Struct):
    number: int
    started_ms: int
    ended_ms: int | None = None
    code: int | None = None
    oom: bool = False
    reason: str = ""
    stopped: bool = False  # somebody had asked it to end
    by_event: bool = False  # its start event has been seen
    by_inspect: bool = False  # ``started_ms`` is Docker's own


class Runs:
    """All runs of one container, oldest first; times are ms since the epoch."""

    def __init__(self, runs: Iterable[Run] = (), oom_kills: int = 0) -> None:
        self._runs = [
            _Run(
                run.number,
                run.started_ms,
                run.ended_ms,
                run.exit.code if run.exit else None,
                run.exit.oom if run.exit else False,
                run.exit.reason if run.exit else "",
                by_event=True,
                by_inspect=True,
            )
            for run in runs
        ]
        self.oom_kills = oom_kills
        self._last_oom_ms = 0

    def all(self) -> tuple[Run, ...]:
        """Return the runs remembered."""
        return tuple(
            Run(run.number, run.started_ms, run.ended_ms, _exit(run)) for run in self._runs
        )

    @property
    def last_number(self) -> int:
        """Number of the current or latest run, 0 if there was none."""
        return self._runs[-1].number if self._runs else 0

    @property
    def running(self) -> bool:
        """Whether the latest run goes on, as far as is known."""
        return bool(self._runs) and self._runs[-1].ended_ms is None

    def started(self, at_ms: int) -> None:
        """Take a start event."""
        run = self._at(at_ms)
        if run is not None and not run.by_event and (run.ended_ms is None or run.ended_ms > at_ms):
            run.by_event = True  # an inspection was quicker than its event
            return
        if run is not None and run is not self._runs[-1]:
            return  # an event from before a run that is known already
        self._begin(at_ms).by_event = True

    def oom(self, at_ms: int) -> None:
        """Take an OOM event: something inside was killed, perhaps the task itself."""
        self.oom_kills += 1
        self._last_oom_ms = at_ms
        run = self._at(at_ms)
        if run is not None and run.ended_ms is not None:
            if run.oom and at_ms - run.ended_ms < _OOM_WINDOW_MS:
                self.oom_kills -= 1  # counted when it died
            self._judge_oom(run, told=False)

    def died(self, at_ms: int, code: int | None, *, stopped: bool = False) -> None:
        """Take a die event; ``stopped`` if somebody had asked the task to end."""
        run = self._at(at_ms)
        if run is None:
            run = self._begin(at_ms)
        if run.ended_ms is None or run.code is None:
            run.ended_ms = at_ms  # without a code, the end known so far was a guess
            run.code = code
            run.stopped = stopped
            self._judge_oom(run, told=False)

    def inspected(
        self,
        started_ms: int,
        ended_ms: int,
        *,
        running: bool,
        code: int,
        oom: bool,
        reason: str,
        restart_count: int,
        stopped: bool = False,
    ) -> None:
        """Take what an inspection says of the latest run; ``started_ms`` is 0 if there was none."""
        if not started_ms:
            return
        run = self._matching(started_ms)
        if run is None:
            if self._runs and started_ms < self._runs[-1].started_ms:
                return  # older than what is known
            run = self._begin(started_ms, restart_count)
        run.started_ms = started_ms
        run.by_inspect = True
        if running or run is not self._runs[-1] or ended_ms < started_ms:
            return
        if run.ended_ms is None or run.code is None:
            run.code = code
            run.stopped = stopped
        run.ended_ms = ended_ms
        run.reason = reason or run.reason
        before = run.oom
        self._judge_oom(run, told=oom)
        if run.oom and not before and not self._oom_near(run):
            self.oom_kills += 1  # no event told of it

    def lost(self, at_ms: int) -> None:
        """The container is gone and nobody saw how its run ended."""
        if self.running:
            self._runs[-1].ended_ms = at_ms

    def _judge_oom(self, run: _Run, *, told: bool) -> None:
        """Decide whether a run that ended was killed for want of memory; once said, it stays.

        Docker's OOMKilled flag (``told``) also stands for children that were killed long before.
        """
        if run.stopped or run.code == 0:
            return
        if run.code == _SIGKILLED or not run.by_event:
            run.oom |= told
        run.oom |= self._oom_near(run)

    def _oom_near(self, run: _Run) -> bool:
        return run.ended_ms is not None and abs(run.ended_ms - self._last_oom_ms) < _OOM_WINDOW_MS

    def _begin(self, at_ms: int, restart_count: int = 0) -> _Run:
        number = max(self.last_number, restart_count) + 1
        if self.running:
            self._runs[
                -1
            ].ended_ms = at_ms  # its end was missed; a late event may still say the code
        self._runs.append(_Run(number, at_ms))
        del self._runs[:-KEPT_RUNS]
        return self._runs[-1]

    def _at(self, at_ms: int) -> _Run | None:
        return next((run for run in reversed(self._runs) if run.started_ms <= at_ms), None)

    def _matching(self, started_ms: int) -> _Run | None:
        """Find the run that an inspected start belongs to; its event comes a little later than Docker's own time."""
        before = 0
        for run in self._runs:
            if run.started_ms == started_ms:
                return run
            late = run.started_ms - started_ms
            if not run.by_inspect and before <= started_ms and 0 <= late < _EVENT_DELAY_MS:
                return run
            before = run.ended_ms or run.started_ms
        return None


def _exit(run: _Run) -> Exit | None:
    if run.ended_ms is None:
        return None
    # Docker reports a death by signal as 128 + signal
    signal = run.code - 128 if run.code is not None and 128 < run.code <= 192 else 0
    return Exit(run.code, signal, run.oom, run.reason)

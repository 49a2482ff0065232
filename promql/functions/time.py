"""Functions on times: of samples, and of the calendar (always UTC)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from model.samples import Floats
from promql.block import Block
from promql.call import CallContext
from promql.functions.maths import apply
from promql.functions.table import VECTOR, function

Seconds = npt.NDArray[np.int64]
_DAY = 86_400

# What is no 64-bit number of seconds counts as 2**63 of them, as the processor's conversion makes of it.
# The calendar repeats after 400 years, so a time in the first ones stands for it.
_CYCLE = 146_097 * _DAY
_FAR_CYCLES, _FAR = divmod(2**63, _CYCLE)


@function("timestamp", VECTOR, doc="The time of each sample, in seconds since the epoch.")
def run_timestamp(call: CallContext) -> Block:
    """The sample's own time for a selector, else the time of the step."""
    block = call.evaluate_with_times(call.node.args[0])
    times = call.ts_ms[None, :] if block.sample_ms is None else block.sample_ms
    values = np.broadcast_to(times / 1000, block.values.shape)
    return block.with_values(values).dropping_name()


@function(
    "start_timestamp", VECTOR, doc="The start timestamp of each sample, 0 for none, in seconds."
)
def run_start_timestamp(call: CallContext) -> Block:
    """Gives nothing for expressions that are no selector."""
    block = call.evaluate_with_times(call.node.args[0])
    if block.start_ms is None:
        return Block.empty(call.steps)
    return block.with_values(block.start_ms / 1000).dropping_name()


def _days(seconds: Seconds) -> npt.NDArray[np.datetime64]:
    return (seconds // _DAY).astype("datetime64[D]")


def _day_of_month(seconds: Seconds) -> Seconds:
    days = _days(seconds)
    out: Seconds = np.add(
        (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64), 1
    )
    return out


def _days_in_month(seconds: Seconds) -> Seconds:
    months = _days(seconds).astype("datetime64[M]")
    first, after = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    out: Seconds = np.subtract(after, first).astype(np.int64)
    return out


def _day_of_year(seconds: Seconds) -> Seconds:
    days = _days(seconds)
    out: Seconds = np.add(
        (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64), 1
    )
    return out


def _register(name: str, doc: str, part: Callable[[Seconds], npt.NDArray[np.int64]]) -> None:
    def change(values: Floats) -> Floats:
        odd = ~(np.abs(values) < 2.0**63)
        out = part(np.where(odd, _FAR, values).astype(np.int64)).astype(np.float64)
        return out + np.where(odd & (name == "year"), 400.0 * _FAR_CYCLES, 0.0)

    @function(name, VECTOR, variadic=1, doc=doc)
    def run(call: CallContext) -> Block:
        if call.node.args:
            return apply(call.vector(0), change)
        return Block.single(change(np.trunc(call.ts_ms / 1000)))


_register("minute", "Minute of the hour, 0 to 59.", lambda s: s // 60 % 60)
_register("hour", "Hour of the day, 0 to 23.", lambda s: s // 3600 % 24)
_register("day_of_week", "Day of the week, 0 (Sunday) to 6.", lambda s: (s // _DAY + 4) % 7)
_register("day_of_month", "Day of the month, 1 to 31.", _day_of_month)
_register("day_of_year", "Day of the year, 1 to 366.", _day_of_year)
_register("days_in_month", "Days in the month, 28 to 31.", _days_in_month)
_register(
    "month",
    "Month of the year, 1 to 12.",
    lambda s: _days(s).astype("datetime64[M]").astype(np.int64) % 12 + 1,
)
_register("year", "The year.", lambda s: _days(s).astype("datetime64[Y]").astype(np.int64) + 1970)

"""What a query cost, in the words of Prometheus's ``stats``."""

from typing import Any

import numpy as np

from model.samples import Ints
from promql.tally import Tally
from web.api.numbers import go_number


def query_stats(
    tally: Tally, steps: range, peak: int, wait: float, work: float, *, each: bool
) -> dict[str, Any]:
    """Return ``stats``.

    Args:
        tally: What was counted.
        steps: Times of the steps, ms.
        peak: Samples that were read and made for it; they are in memory at the same time.
        wait: Seconds before the work began.
        work: Seconds of work; of the timings, those that there are here are filled in.
        each: Whether every step is told by itself (``stats=all``).
    """
    looked_at, read = (np.broadcast_to(n, (len(steps),)) for n in (tally.looked_at, tally.read))
    samples: dict[str, Any] = {}
    if each:
        samples["totalQueryableSamplesPerStep"] = _rows(steps, looked_at)
    samples["totalQueryableSamples"] = int(looked_at.sum())
    if each:
        samples["samplesReadPerStep"] = _rows(steps, read)
    samples["samplesRead"] = int(read.sum())
    samples["seriesTouched"] = tally.series
    samples["peakSamples"] = peak
    return {
        "timings": {
            "evalTotalTime": work,
            "resultSortTime": 0,
            "queryPreparationTime": 0,
            "innerEvalTime": work,
            "execQueueTime": wait,
            "execTotalTime": wait + work,
        },
        "samples": samples,
    }


def _rows(steps: range, counts: Ints) -> list[list[Any]]:
    return [[go_number(ts / 1000), n] for ts, n in zip(steps, counts.tolist(), strict=True)]

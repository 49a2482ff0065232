"""Parts of a ``LogBatch``: some of its records, over the same buffer."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from model.log import LogBatch, Spans


def take(
    batch: LogBatch,
    rows: npt.NDArray[np.intp] | None,
    *,
    stream: str | None = None,
    run: int | None = None,
) -> LogBatch:
    """Return the records named (all for None), perhaps under another stream or run."""
    named = replace(
        batch,
        stream=batch.stream if stream is None else stream,
        run=batch.run if run is None else run,
    )
    if rows is None:
        return named
    traces = {
        new: batch.trace_ids[old] for new, old in enumerate(rows.tolist()) if old in batch.trace_ids
    }
    return replace(
        named,
        message=Spans(batch.message.starts[rows], batch.message.ends[rows]),
        fields=Spans(batch.fields.starts[rows], batch.fields.ends[rows]),
        ts_ns=batch.ts_ns[rows],
        levels=batch.levels[rows],
        offsets=batch.offsets[rows],
        flags=batch.flags[rows],
        original_bytes=batch.original_bytes[rows],
        trace_ids=traces,
    )

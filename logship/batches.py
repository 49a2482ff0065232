"""Parts of a ``LogBatch``: some of its records, over the same buffer."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from model.log import LogBatch, Spans


def take(batch: LogBatch, rows: npt.NDArray[np.intp]) -> LogBatch:
    """Return the records named, in that order."""
    traces = {
        new: batch.trace_ids[old] for new, old in enumerate(rows.tolist()) if old in batch.trace_ids
    }
    return replace(
        batch,
        message=Spans(batch.message.starts[rows], batch.message.ends[rows]),
        fields=Spans(batch.fields.starts[rows], batch.fields.ends[rows]),
        ts_ns=batch.ts_ns[rows],
        levels=batch.levels[rows],
        offsets=batch.offsets[rows],
        flags=batch.flags[rows],
        original_bytes=batch.original_bytes[rows],
        trace_ids=traces,
    )

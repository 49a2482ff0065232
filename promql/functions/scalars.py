"""Scalars: constants, the query's own times, and the ways between scalar and vector."""

import numpy as np

from model.samples import Floats
from promql.block import Block
from promql.call import CallContext
from promql.functions.maths import greater, smaller
from promql.functions.table import SCALAR, VECTOR, function


@function("pi", returns=SCALAR, doc="The number pi.")
def run_pi(call: CallContext) -> Floats:
    """See the table."""
    return np.full(call.steps, np.pi)


@function("time", returns=SCALAR, doc="The time of the step, in seconds since the epoch.")
def run_time(call: CallContext) -> Floats:
    """See the table."""
    return call.ts_ms / 1000


@function("start", returns=SCALAR, doc="First step of the query, in seconds since the epoch.")
def run_start(call: CallContext) -> Floats:
    """See the table."""
    return np.full(call.steps, call.query.start_ms / 1000)


@function("end", returns=SCALAR, doc="Last step of the query, in seconds since the epoch.")
def run_end(call: CallContext) -> Floats:
    """See the table."""
    return np.full(call.steps, call.query.end_ms / 1000)


@function(
    "step", returns=SCALAR, doc="Seconds between two steps of the query; 0 if there is one only."
)
def run_step(call: CallContext) -> Floats:
    """See the table."""
    single = call.query.start_ms == call.query.end_ms
    return np.full(call.steps, 0.0 if single else call.query.step_ms / 1000)


@function("range", returns=SCALAR, doc="Seconds from the first to the last step of the query.")
def run_range(call: CallContext) -> Floats:
    """See the table."""
    return np.full(call.steps, (call.query.end_ms - call.query.start_ms) / 1000)


@function("min_of", SCALAR, SCALAR, returns=SCALAR, doc="The smaller of two scalars.")
def run_min_of(call: CallContext) -> Floats:
    """See ``smaller``."""
    return smaller(call.scalar(0), call.scalar(1))


@function("max_of", SCALAR, SCALAR, returns=SCALAR, doc="The greater of two scalars.")
def run_max_of(call: CallContext) -> Floats:
    """See ``greater``."""
    return greater(call.scalar(0), call.scalar(1))


@function("vector", SCALAR, doc="A vector of one series without labels.")
def run_vector(call: CallContext) -> Block:
    """See the table."""
    return Block.single(call.scalar(0))


@function(
    "scalar", VECTOR, returns=SCALAR, doc="The value of the only float in a vector, else NaN."
)
def run_scalar(call: CallContext) -> Floats:
    """See the table."""
    block = call.vector(0)
    floats = block.floats
    total = np.where(floats, block.values, 0.0).sum(axis=0)
    return np.where(floats.sum(axis=0) == 1, total, np.nan)

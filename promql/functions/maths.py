"""Functions that change each float of a vector by itself; histograms have no part in them."""

from collections.abc import Callable

import numpy as np

from model.samples import Floats
from promql import rounding
from promql.block import Block
from promql.call import CallContext
from promql.functions.table import SCALAR, VECTOR, function

Elementwise = Callable[[Floats], Floats]


def apply(block: Block, change: Elementwise) -> Block:
    """Return the vector with each float changed and its name to go."""
    present = block.floats
    with np.errstate(all="ignore"):
        values = change(np.where(present, block.values, 0.0))
    return block.with_values(values, present).dropping_name().compact()


def _register(name: str, doc: str, change: Elementwise) -> None:
    @function(name, VECTOR, doc=doc)
    def run(call: CallContext) -> Block:
        return apply(call.vector(0), change)


_register("abs", "Absolute value.", np.abs)
_register("ceil", "Rounded up to the next whole number.", np.ceil)
_register("floor", "Rounded down to the next whole number.", np.floor)
_register("exp", "e to the power of the value.", np.exp)
_register("sqrt", "Square root.", np.sqrt)
_register("ln", "Natural logarithm.", rounding.log)
_register("log2", "Logarithm to base 2.", rounding.log2)
_register("log10", "Logarithm to base 10.", rounding.log10)
_register("sin", "Sine of the value in radians.", np.sin)
_register("cos", "Cosine of the value in radians.", np.cos)
_register("tan", "Tangent of the value in radians.", np.tan)
_register("asin", "Arc sine, in radians.", np.arcsin)
_register("acos", "Arc cosine, in radians.", np.arccos)
_register("atan", "Arc tangent, in radians.", np.arctan)
_register("sinh", "Hyperbolic sine.", np.sinh)
_register("cosh", "Hyperbolic cosine.", np.cosh)
_register("tanh", "Hyperbolic tangent.", np.tanh)
_register("asinh", "Inverse hyperbolic sine.", np.arcsinh)
_register("acosh", "Inverse hyperbolic cosine.", np.arccosh)
_register("atanh", "Inverse hyperbolic tangent.", np.arctanh)
_register("rad", "Degrees to radians.", lambda v: v * (np.pi / 180))
_register("deg", "Radians to degrees.", lambda v: v * (180 / np.pi))
_register("sgn", "-1, 0 or 1: the sign of the value.", np.sign)


@function(
    "round", VECTOR, SCALAR, variadic=1, doc="Rounded to the nearest multiple, by default of 1."
)
def run_round(call: CallContext) -> Block:
    """Ties go up; dividing by the inverse is what Prometheus does."""
    nearest = call.scalar(1) if len(call.node.args) > 1 else np.ones(call.steps)
    with np.errstate(all="ignore"):
        inverse = 1.0 / nearest
    return apply(call.vector(0), lambda v: np.floor(v * inverse + 0.5) / inverse)


def greater(a: Floats, b: Floats) -> Floats:
    """Return the greater of each two; NaN if either is, unless the other is +Inf."""
    return np.where(np.isposinf(a) | np.isposinf(b), np.inf, np.maximum(a, b))


def smaller(a: Floats, b: Floats) -> Floats:
    """Return the smaller of each two; NaN if either is, unless the other is -Inf."""
    return np.where(np.isneginf(a) | np.isneginf(b), -np.inf, np.minimum(a, b))


def _clamp(block: Block, low: Floats, high: Floats) -> Block:
    result = apply(block, lambda v: greater(low, smaller(high, v)))
    return result.with_values(result.values, result.present & ~(high < low)).compact()


@function("clamp", VECTOR, SCALAR, SCALAR, doc="Kept between a minimum and a maximum.")
def run_clamp(call: CallContext) -> Block:
    """NaN as a limit gives NaN; a maximum below the minimum gives nothing."""
    return _clamp(call.vector(0), call.scalar(1), call.scalar(2))


@function("clamp_max", VECTOR, SCALAR, doc="Kept at or below a maximum.")
def run_clamp_max(call: CallContext) -> Block:
    """See ``clamp``."""
    return _clamp(call.vector(0), np.full(call.steps, -np.inf), call.scalar(1))


@function("clamp_min", VECTOR, SCALAR, doc="Kept at or above a minimum.")
def run_clamp_min(call: CallContext) -> Block:
    """See ``clamp``."""
    return _clamp(call.vector(0), call.scalar(1), np.full(call.steps, np.inf))

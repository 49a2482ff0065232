"""What an implementation of a function is given."""

from collections.abc import Callable

from msgspec import Struct

from model.labels import METRIC_NAME, LabelTable, Matcher
from model.samples import Bools, Floats, Ints
from promql.annotations import Annotations
from promql.ast import Call, Expr, StringLiteral, unwrap
from promql.block import Block
from promql.windows import Windows

Value = Block | Floats | str
"""An instant vector, a scalar at each step (float64, shape (T,)), or a string."""


Pinned = tuple[int | None, int]
"""The time of ``@`` in ms, None without one, and the offset in ms."""


class Reference(Struct, frozen=True):
    """Where in time the selectors of an expression look.

    Attributes:
        at_ms: What ``@`` pins the first selector to, None for nothing.
        offset_ms: The offset of the first selector.
        uniform: Whether everything that gives vectors looks at the same time.
    """

    at_ms: int | None
    offset_ms: int
    uniform: bool


class QueryRange(Struct, frozen=True):
    """First and last step of the whole query and the step between, ms (0 for an instant query)."""

    start_ms: int
    end_ms: int
    step_ms: int


class CallContext(Struct, frozen=True):
    """A call: its node, the steps, and the arguments on demand.

    Attributes:
        node: The call.
        ts_ms: int64, shape (T,): the steps it is evaluated at.
        query: The whole query's range.
        annotations: Where warnings and infos go.
        evaluate: Evaluates an expression at the steps.
        evaluate_windows: Evaluates a range vector.
        evaluate_with_times: Evaluates a vector with the samples' own times kept.
        is_range: Whether it is a range query.
        select: Returns the series that pass matchers, with their samples' times, at other times.
        reference: Tells where in time the selectors of an expression look.
    """

    node: Call
    ts_ms: Ints
    query: QueryRange
    annotations: Annotations
    evaluate: Callable[[Expr], Value]
    evaluate_windows: Callable[[Expr], Windows]
    evaluate_with_times: Callable[[Expr], Block]
    is_range: bool
    select: Callable[[tuple[Matcher, ...], Ints], Block]
    reference: Callable[[Expr], Reference]

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.ts_ms)

    def vector(self, i: int) -> Block:
        """Return an argument that is an instant vector."""
        value = self.evaluate(self.node.args[i])
        assert isinstance(value, Block)
        return value

    def scalar(self, i: int) -> Floats:
        """Return an argument that is a scalar; shape (T,)."""
        value = self.evaluate(self.node.args[i])
        assert not isinstance(value, (Block, str))
        return value

    def string(self, i: int) -> str:
        """Return an argument that is a string literal."""
        literal = unwrap(self.node.args[i])
        assert isinstance(literal, StringLiteral)
        return literal.value

    def windows(self, i: int) -> Windows:
        """Return an argument that is a range vector."""
        return self.evaluate_windows(self.node.args[i])

    def result(self, labels: LabelTable, values: Floats, present: Bools) -> Block:
        """Return a vector of floats whose names are to go."""
        import numpy as np

        return Block(labels, values, present, np.ones(labels.size, dtype=bool))


def metric_name(labels: LabelTable, row: int) -> str:
    """Return the name of one series."""
    column = labels.columns.get(METRIC_NAME)
    return column.values[column.codes[row]] if column else ""

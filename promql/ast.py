"""The syntax tree. Every node knows where it stands in the query text: ``start`` and ``end`` offsets."""

from enum import Enum

from msgspec import Struct

from model.labels import Matcher


class ValueType(Enum):
    """What an expression gives; the values are the words of error texts."""

    SCALAR = "scalar"
    STRING = "string"
    VECTOR = "instant vector"
    MATRIX = "range vector"


class Card(Enum):
    """How many series of one side of a binary operation may match one of the other."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


class AtEdge(Enum):
    """``@ start()`` and ``@ end()``: the first and last step of the query."""

    START = "start"
    END = "end"


class Expr(Struct, frozen=True):
    """A node, from offset ``start`` to just before ``end`` in the text."""

    start: int
    end: int


class NumberLiteral(Expr, frozen=True):
    """A number; ``duration`` if it was written with units (``5m`` is 300)."""

    value: float
    duration: bool = False


class StringLiteral(Expr, frozen=True):
    """A string."""

    value: str


class DurationExpr(Expr, frozen=True):
    """Arithmetic on durations, in seconds. Without ``left`` the operator is unary; step and range have neither side.

    Attributes:
        op: ``+ - * / % ^ step range min_of max_of``.
        left: Left operand.
        right: Right or only operand.
        wrapped: Whether it stands in parentheses.
    """

    op: str
    left: "Duration | None" = None
    right: "Duration | None" = None
    wrapped: bool = False


Duration = NumberLiteral | DurationExpr


class Shift(Struct, frozen=True):
    """The modifiers that move a selector in time.

    Attributes:
        offset: ``offset``; None for none.
        at: ``@``: a time in ms or an edge of the query; None for none.
    """

    offset: Duration | None = None
    at: "int | AtEdge | None" = None


NO_SHIFT = Shift()


class VectorSelector(Expr, frozen=True):
    """``name{label="value"}``; ``matchers`` holds the name too, last."""

    name: str
    matchers: tuple[Matcher, ...]
    shift: Shift = NO_SHIFT
    anchored: bool = False
    smoothed: bool = False


class MatrixSelector(Expr, frozen=True):
    """``selector[range]``; the time shift is the inner selector's."""

    selector: VectorSelector
    range: Duration


class Subquery(Expr, frozen=True):
    """``expr[range:step]``; without a step the engine's default holds."""

    expr: Expr
    range: Duration
    step: Duration | None
    shift: Shift = NO_SHIFT


class Call(Expr, frozen=True):
    """A function call; ``name`` is a key of the function table."""

    name: str
    args: tuple[Expr, ...]


class Aggregate(Expr, frozen=True):
    """An aggregation; ``param`` is the first argument of those that take two."""

    op: str
    expr: Expr
    param: Expr | None
    grouping: tuple[str, ...]
    without: bool


class Matching(Struct, frozen=True):
    """How the series of two vectors are paired.

    Attributes:
        card: See Card.
        labels: The labels of ``on`` or ``ignoring``.
        on: Whether it is ``on``.
        include: The labels of ``group_left`` or ``group_right``.
        fill_left: Value for a missing left side, None for none.
        fill_right: Value for a missing right side, None for none.
    """

    card: Card = Card.ONE_TO_ONE
    labels: tuple[str, ...] = ()
    on: bool = False
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


class Binary(Expr, frozen=True):
    """A binary operation; ``matching`` is None unless both sides are vectors."""

    op: str
    left: Expr
    right: Expr
    return_bool: bool
    matching: Matching | None


class Unary(Expr, frozen=True):
    """``+expr`` or ``-expr``."""

    op: str
    expr: Expr


class Paren(Expr, frozen=True):
    """``(expr)``."""

    expr: Expr


def unwrap(expr: Expr) -> Expr:
    """Return what stands inside any number of parentheses."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr

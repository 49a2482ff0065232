"""The table of functions: what each takes, gives and is for. The modules beside fill it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from promql.ast import ValueType

if TYPE_CHECKING:
    from promql.call import CallContext, Value

SCALAR, STRING = ValueType.SCALAR, ValueType.STRING
VECTOR, MATRIX = ValueType.VECTOR, ValueType.MATRIX

Implementation = Callable[["CallContext"], "Value"]


class Function(Struct, frozen=True):
    """One function.

    Attributes:
        name: Its name.
        args: Argument types; with ``variadic`` the last one repeats.
        variadic: How many arguments may follow beyond the first ``len(args) - 1``; -1 for any number.
        returns: What it gives.
        doc: One line for people who type a query.
        run: The implementation.
    """

    name: str
    args: tuple[ValueType, ...]
    variadic: int
    returns: ValueType
    doc: str
    run: Implementation


FUNCTIONS: Final[dict[str, Function]] = {}


def function(
    name: str,
    *args: ValueType,
    doc: str,
    variadic: int = 0,
    returns: ValueType = VECTOR,
) -> Callable[[Implementation], Implementation]:
    """Register the decorated implementation under a name."""

    def register(run: Implementation) -> Implementation:
        FUNCTIONS[name] = Function(name, args, variadic, returns, doc, run)
        return run

    return register

"""``/api/promql/words``: the functions, aggregations and words of PromQL, for who types a query."""

from flask import Blueprint, Response

from promql import functions  # noqa: F401  fills the table
from promql.functions.table import FUNCTIONS, Function
from promql.words import AGGREGATORS
from web.api.answers import answer

_WITH_PARAMETER = {
    "topk": "k, vector",
    "bottomk": "k, vector",
    "limitk": "k, vector",
    "limit_ratio": "ratio, vector",
    "quantile": "φ, vector",
    "count_values": '"label", vector',
}
_WORDS = (
    *("by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"),
    *("and", "or", "unless", "atan2", "start", "end"),
)


def blueprint() -> Blueprint:
    """Make the endpoint."""
    routes = Blueprint("words", __name__)
    table = {
        "functions": [
            {"name": name, "signature": signature(function), "doc": function.doc}
            for name, function in sorted(FUNCTIONS.items())
        ],
        "aggregations": [
            {"name": name, "signature": f"{name}({_WITH_PARAMETER.get(name, 'vector')})"}
            for name in sorted(AGGREGATORS)
        ],
        "words": sorted(_WORDS),
    }

    @routes.get("/api/promql/words")
    def words() -> Response:
        return answer(table)

    return routes


def signature(function: Function) -> str:
    """Return a function with the types of its arguments; those in brackets may be left out."""
    names = [kind.value.removeprefix("instant ") for kind in function.args]
    if function.variadic:
        names[-1] = f"[{names[-1]}]" if function.variadic > 0 else f"[{names[-1]} …]"
    return f"{function.name}({', '.join(names)})"

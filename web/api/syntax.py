"""``/api/v1/format_query`` and ``parse_query``: a query's text and tree, without asking the store."""

import orjson
from flask import Blueprint, Response

from promql.parser import parse
from promql.printer import prettify
from promql.tree import tree_of
from web.api import params
from web.api.envelope import success
from web.api.query import BOTH, query_parameter


def blueprint() -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("syntax", __name__, url_prefix="/api/v1")

    @routes.route("/format_query", methods=BOTH)
    def format_query() -> Response:
        with query_parameter():
            return success(orjson.dumps(prettify(params.asked().text("query"))))

    @routes.route("/parse_query", methods=BOTH)
    def parse_query() -> Response:
        with query_parameter():
            tree = tree_of(parse(params.asked().text("query")))
        # Go writes its maps in the order of the names
        return success(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS))

    return routes

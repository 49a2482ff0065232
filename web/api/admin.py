"""``/api/v1/admin/tsdb/delete_series`` and ``clean_tombstones``."""

from typing import Final

from flask import Blueprint, Response

from web.api import params
from web.api.answers import need
from web.api.params import BadParameterError
from web.api.selectors import matcher_sets, window
from web.parts import Parts

_NO_STORE: Final = "This process keeps no series that could be deleted."
_METHODS: Final = ["POST", "PUT"]


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints; both answer 204."""
    routes = Blueprint("admin", __name__, url_prefix="/api/v1/admin/tsdb")

    @routes.route("/delete_series", methods=_METHODS)
    def delete_series() -> Response:
        delete = need(parts.delete_series, _NO_STORE)
        if not params.asked().texts("match[]"):
            raise BadParameterError("no match[] parameter provided")
        start, end = window()
        delete(matcher_sets('invalid parameter "match[]": '), start, end)
        return Response(status=204)

    @routes.route("/clean_tombstones", methods=_METHODS)
    def clean_tombstones() -> Response:
        need(parts.clean_tombstones, _NO_STORE)()
        return Response(status=204)

    return routes

"""What this server can: its version, the field types it lacks, and who removes old data. Found out by asking."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from logship.sink.elasticsearch import template
from logship.sink.elasticsearch.client import ask
from logship.sink.elasticsearch.words import analysis

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

Lifecycle = Literal["data stream", "policy", "none"]
_UNKNOWN_TYPE: Final = re.compile(r"(?:mapper type|handler for type) \[(\w+)\]")
DATA_STREAM_LIFECYCLE: Final = (8, 14)  # before it was a preview
CUSTOM_TEMPLATES: Final = (8, 7)
REQUIRE_DATA_STREAM: Final = (8, 13)


class Server(Struct, frozen=True):
    """What a server can.

    Attributes:
        version: As it says, like "8.19.21"; "" if it does not.
        lacks: Field types of ours that it has not.
        lifecycle: What removes old data: the data stream's own lifecycle, an index lifecycle
            policy, or nothing, so that we do.
        analysis: How it cuts messages into words as queries do, see ``words``.
    """

    version: str
    lacks: frozenset[str]
    lifecycle: Lifecycle
    analysis: Mapping[str, Any] = {}

    def since(self, version: tuple[int, int]) -> bool:
        """Tell whether it is as new as that."""
        numbers = re.findall(r"\d+", self.version)
        return len(numbers) >= 2 and (int(numbers[0]), int(numbers[1])) >= version


def look(client: "Elasticsearch", fields: Mapping[str, str] | None = None) -> Server:
    """Ask the server what it can.

    Args:
        client: The client.
        fields: Fields that the operator declared, see ``template.properties``.

    Raises:
        Exception: What the client raises, if it cannot be asked.
    """
    version = str(ask(client, "GET", "/").get("version", {}).get("number", ""))
    bare = Server(version, frozenset(), "none")
    return Server(version, _lacks(client, fields), _lifecycle(client, bare), analysis(client))


def may_look(client: "Elasticsearch") -> Server | None:
    """Return what the server can, None if the login may not ask."""
    from elasticsearch import AuthorizationException

    try:
        return look(client)
    except AuthorizationException:
        return None


def _lacks(client: "Elasticsearch", fields: Mapping[str, str] | None) -> frozenset[str]:
    """Simulate the template until the server takes it; nothing is stored by that."""
    from elasticsearch import BadRequestError

    lacks: set[str] = set()
    while True:
        body = {
            "index_patterns": ["taskscope-asks-*"],
            "template": {"mappings": {"properties": template.properties(lacks, fields)}},
        }
        try:
            ask(client, "POST", "/_index_template/_simulate", body)
        except BadRequestError as error:
            unknown = set(_UNKNOWN_TYPE.findall(str(error.body))) & template.FALLBACKS.keys() - lacks  # fmt: skip
            if not unknown:
                raise
            lacks |= unknown
        else:
            return frozenset(lacks)


def _lifecycle(client: "Elasticsearch", server: Server) -> Lifecycle:
    if server.since(DATA_STREAM_LIFECYCLE) and _has(client, "/_data_stream/logs-*/_lifecycle", "data_streams"):  # fmt: skip
        return "data stream"
    if _has(client, "/_ilm/status", "operation_mode"):
        return "policy"
    return "none"


def _has(client: "Elasticsearch", path: str, key: str) -> bool:
    """Tell whether there is such a thing on the server; what may not be looked at is there."""
    from elasticsearch import ApiError

    try:
        answer: Any = ask(client, "GET", path)
    except ApiError as error:
        if error.status_code in (401, 403):
            return True
        if error.status_code in (400, 404, 405):
            return False
        raise
    return isinstance(answer, dict) and key in answer

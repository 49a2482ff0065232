"""What there is to say of an Elasticsearch before anything is sent to it: whether it can be reached, and what it lacks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from logship.sink.elasticsearch.client import Connection, ask_if_known, connect, explain
from logship.sink.elasticsearch.server import may_look
from logship.sink.elasticsearch.template import FALLBACKS
from model.errors import DeliveryError

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

TIMEOUT_SECONDS: Final = 5.0
# what a login needs on the data streams, and what does not work without
PRIVILEGES: Final = {
    "create_doc": "nothing can be delivered",
    "auto_configure": "new data streams cannot be made",
    "view_index_metadata": "a rollover while a request fails can store a line twice",
    "read": "a rollover while a request fails can store a line twice",
    "maintenance": "a rollover while a request fails can store a line twice",
}


def examine(connection: Connection, stream: str, *, retention_days: float, installs: bool) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Yield findings: "good", "note" (works with less) or "bad", and a sentence.

    Args:
        connection: How to reach it.
        stream: The data stream that is written to.
        retention_days: How long records are to be kept, 0 for ever.
        installs: Whether templates are to be installed.
    """
    try:
        client = connect(connection, TIMEOUT_SECONDS)
    except DeliveryError as error:
        yield "bad", str(error)
        return
    try:
        version = client.info()["version"]["number"]
        yield "good", f"Elasticsearch {version} at {', '.join(connection.endpoints)}"
        yield from _server(client, retention_days, installs=installs)
        yield from _privileges(client, stream)
        yield from _template(client, stream)
    except Exception as error:
        yield "bad", str(explain(error, connection))
    finally:
        client.close()


def _server(client: "Elasticsearch", retention_days: float, *, installs: bool) -> Iterator[tuple[str, str]]:  # fmt: skip
    server = may_look(client)
    if server is None:
        if installs:
            yield "bad", "the login may not manage index templates; give it manage_index_templates, or set install_templates: false"  # fmt: skip
        return
    for kind in sorted(server.lacks):
        yield "note", f"it lacks the field type {kind}: {FALLBACKS[kind][1]}"
    if server.lifecycle == "none" and retention_days:
        yield "note", f"it has no lifecycle: Taskscope itself rolls data streams over and deletes what is older than {retention_days:g} days"  # fmt: skip


def _privileges(client: "Elasticsearch", stream: str) -> Iterator[tuple[str, str]]:
    """Say which rights are missing; a server without security knows no such question."""
    body = {"index": [{"names": [stream], "privileges": list(PRIVILEGES)}]}
    answer = ask_if_known(client, "POST", "/_security/user/_has_privileges", body)
    has = answer.get("index", {}).get(stream, {})
    for name, without in PRIVILEGES.items():
        if has.get(name) is False:
            yield ("bad" if name == "create_doc" else "note"), f"the login lacks the right {name} on {stream}: {without}"  # fmt: skip


def _template(client: "Elasticsearch", stream: str) -> Iterator[tuple[str, str]]:
    """Say where somebody else's template wins."""
    answer = ask_if_known(client, "POST", f"/_index_template/_simulate_index/{stream}")
    kinds = answer.get("template", {}).get("mappings", {}).get("properties", {})
    ours = [one for one in answer.get("overlapping", []) if one.get("name", "").startswith("taskscope-logs")]  # fmt: skip
    if kinds and "fields" not in kinds and ours:
        yield "note", f"another index template than Taskscope's holds for {stream}: lines that do not fit it become dead letters; lower its priority"  # fmt: skip

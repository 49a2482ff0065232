"""What ``taskscope doctor`` says of each Elasticsearch that logs are sent to: whether it can be reached, and what it lacks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from logship.config import ElasticsearchSinkConfig
from model.errors import DeliveryError
from taskscope.config import TaskscopeConfig
from taskscope.elasticsearch import connection_of

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

TIMEOUT_SECONDS = 5.0
# what a login needs on the data streams, and what does not work without
PRIVILEGES = {
    "create_doc": "nothing can be delivered",
    "auto_configure": "new data streams cannot be made",
    "view_index_metadata": "a rollover while a request fails can store a line twice",
    "read": "a rollover while a request fails can store a line twice",
    "maintenance": "a rollover while a request fails can store a line twice",
}


def examine(config: TaskscopeConfig) -> Iterator[tuple[str, str]]:
    """Yield how it is (good, note, bad) and a sentence, for each sink."""
    from logship.sink.elasticsearch.client import connect, explain

    for sink in config.logship.sinks:
        if not isinstance(sink, ElasticsearchSinkConfig):
            continue
        connection = connection_of(sink, config)
        try:
            client = connect(connection, TIMEOUT_SECONDS)
        except DeliveryError as error:
            yield "bad", str(error)
            continue
        try:
            yield from _look(client, sink)
        except Exception as error:
            yield "bad", str(explain(error, connection))
        finally:
            client.close()


def _look(client: "Elasticsearch", sink: ElasticsearchSinkConfig) -> Iterator[tuple[str, str]]:
    from elasticsearch import ApiError

    from logship.sink.elasticsearch.server import look
    from logship.sink.elasticsearch.template import FALLBACKS

    version = client.info()["version"]["number"]
    yield "good", f"Elasticsearch {version} at {', '.join(sink.endpoints)}"
    try:
        server = look(client)
    except ApiError as error:
        if error.status_code not in (401, 403):
            raise
        if sink.install_templates:
            yield "bad", "the login may not manage index templates; give it manage_index_templates, or set install_templates: false"  # fmt: skip
        server = None
    if server is not None:
        for kind in sorted(server.lacks):
            yield "note", f"it lacks the field type {kind}: {FALLBACKS[kind][1]}"
        if server.lifecycle == "none" and sink.retention_days:
            yield "note", f"it has no lifecycle: Taskscope itself rolls data streams over and deletes what is older than {sink.retention_days:g} days"  # fmt: skip
    yield from _privileges(client, sink)
    yield from _template(client, sink)


def _privileges(client: "Elasticsearch", sink: ElasticsearchSinkConfig) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Say which rights are missing; a server without security knows no such question."""
    from elasticsearch import ApiError

    from logship.sink.elasticsearch.client import ask

    stream = f"logs-{sink.dataset}-{sink.namespace}"
    body = {"index": [{"names": [stream], "privileges": list(PRIVILEGES)}]}
    try:
        answer: Any = ask(client, "POST", "/_security/user/_has_privileges", body)
    except ApiError:
        return
    has = answer.get("index", {}).get(stream, {})
    for name, without in PRIVILEGES.items():
        if has.get(name) is False:
            yield ("bad" if name == "create_doc" else "note"), f"the login lacks the right {name} on {stream}: {without}"  # fmt: skip


def _template(client: "Elasticsearch", sink: ElasticsearchSinkConfig) -> Iterator[tuple[str, str]]:
    """Say where somebody else's template wins."""
    from elasticsearch import ApiError

    from logship.sink.elasticsearch.client import ask

    stream = f"logs-{sink.dataset}-{sink.namespace}"
    try:
        answer: Any = ask(client, "POST", f"/_index_template/_simulate_index/{stream}")
    except ApiError:
        return
    kinds = answer.get("template", {}).get("mappings", {}).get("properties", {})
    ours = answer.get("overlapping", [])
    if kinds and "fields" not in kinds and any(one.get("name", "").startswith("taskscope-logs") for one in ours):  # fmt: skip
        yield "note", f"another index template than Taskscope's holds for {stream}: lines that do not fit it become dead letters; lower its priority"  # fmt: skip

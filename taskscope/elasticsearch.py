"""From the configuration's Elasticsearch sink to a connection."""

from logship.config import ElasticsearchSinkConfig
from logship.sink.elasticsearch.client import Connection
from taskscope.config import TaskscopeConfig


def connection_of(sink: ElasticsearchSinkConfig, config: TaskscopeConfig) -> Connection:
    """Return how to reach Elasticsearch; relative files are meant from the configuration's folder."""

    def file(name: str) -> str:
        return str(config.base / name) if name else ""

    return Connection(
        sink.endpoints,
        sink.username,
        file(sink.password_file),
        file(sink.api_key_file),
        file(sink.ca_file),
        sink.compress,
    )

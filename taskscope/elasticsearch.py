"""From the configuration's Elasticsearch sink to a connection, and to the sink."""

from typing import TYPE_CHECKING

from logship.config import ElasticsearchSinkConfig
from logship.sink.elasticsearch.client import Connection
from taskscope.config import TaskscopeConfig

if TYPE_CHECKING:
    from logship.sink.elasticsearch.sink import ElasticsearchSink


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


def sinks_of(config: TaskscopeConfig) -> "list[ElasticsearchSink]":
    """Return the sinks into Elasticsearch; nothing is asked yet."""
    from logship.sink.elasticsearch.retention import Retention
    from logship.sink.elasticsearch.sink import ElasticsearchSink

    return [
        ElasticsearchSink(
            connection_of(sink, config),
            dataset=sink.dataset,
            namespace=sink.namespace,
            retention=Retention(sink.retention_days, sink.rollover_days, sink.rollover_bytes),
            fields=config.logship.policy().document_types(),
            install_templates=sink.install_templates,
            parallel=sink.requests_in_flight,
            window_bytes=config.logship.buffer.memory_bytes,
        )
        for sink in config.logship.sinks
        if isinstance(sink, ElasticsearchSinkConfig)
    ]

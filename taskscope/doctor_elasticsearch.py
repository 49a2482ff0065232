"""What ``taskscope doctor`` says of each Elasticsearch that logs are sent to."""

from collections.abc import Iterator

from logship.config import ElasticsearchSinkConfig
from taskscope.config import TaskscopeConfig
from taskscope.elasticsearch import connection_of


def examine(config: TaskscopeConfig) -> Iterator[tuple[str, str]]:
    """Yield how it is (good, note, bad) and a sentence, for each sink."""
    from logship.sink.elasticsearch.examine import Wanted
    from logship.sink.elasticsearch.examine import examine as look

    for sink in config.logship.sinks:
        if isinstance(sink, ElasticsearchSinkConfig):
            wanted = Wanted(sink.dataset, sink.namespace, sink.install_templates, sink.retention_days)  # fmt: skip
            yield from look(connection_of(sink, config), wanted)

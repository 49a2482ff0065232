"""What an operator may say about log shipping."""

import pytest

from configfile.document import parse
from configfile.validate import validate
from logship.config import ElasticsearchSinkConfig, LogshipConfig
from model.errors import ConfigError


def test_nothing_said_works() -> None:
    """The embedded store, with redaction."""
    config = validate(parse("", "x.yml"), LogshipConfig)

    assert [sink.type for sink in config.sinks] == ["embedded"]
    assert [source.type for source in config.sources] == ["docker", "sandbox"]
    assert config.redact


def test_both_sinks() -> None:
    """Their own words, with defaults."""
    text = "sinks:\n  - type: embedded\n  - type: elasticsearch\n    endpoints: [http://es:9200]\n"

    config = validate(parse(text, "x.yml"), LogshipConfig)

    elastic = config.sinks[1]
    assert isinstance(elastic, ElasticsearchSinkConfig)
    assert (elastic.endpoints, elastic.dataset, elastic.namespace) == (("http://es:9200",), "task", "default")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sinks: [{type: elasticsearch, endpoints: [es:9200]}]", "must start with http"),
        ("sinks: [{type: elasticsearch, endpoints: []}]", "at least one URL"),
        ("sinks: [{type: elasticsearch, endpoints: ['http://es']}]", "'http://es' needs host and port"),
        ("sinks: [{type: elasticsearch, endpoints: ['http://es:x']}]", "needs host and port"),
        ("sinks: []", "needs at least one sink"),
        ("sinks: [{type: elasticsearch, username: u}]", "username needs password_file"),
        ("sinks: [{type: elasticsearch, username: u, password_file: p, api_key_file: k}]", "exclude each other"),
        ("sinks: [{type: embedded}, {type: embedded}]", "may stand once"),
        ("sinks: [{type: elasticsearch, namespace: A-B}]", "pattern"),
        ("sinks: [{type: stdout}]", "one that can be searched"),
        ("sinks: [{type: embedded}, {type: forward, endpoint: 'fluentd:24224'}]", "it looks like tcp://127.0.0.1:24224"),
        ("sinks: [{type: embedded}, {type: forward, ca_file: x}]", "ca_file is for endpoints with tls://"),
        ("sources: [{type: forward, listen: '0.0.0.0:24224'}]", "'0.0.0.0' is not loopback; there are no logins yet"),
        ("sources: [{type: otlp, listen: ':4318'}]", "'every address' is not loopback"),
        ("sources: [{type: otlp, listen: 'here'}]", "it looks like 127.0.0.1:4318"),
        ("sources: [{type: otlp}, {type: otlp, listen: 'localhost:1'}]", "of type otlp may stand once"),
        ("sources: [{type: forward, tls: {key_file: k}}]", "needs cert_file"),
        ("buffer: {disk_bytes: 5}", "greater than or equal"),
        ("sources: [{type: files, include: []}]", "needs at least one path"),
        ("sources: [{type: files, include: [logs/*.log]}]", "must be a whole path"),
        ("sources: [{type: files, include: [/a/../b]}]", "must not go up"),
        ("sources: [{type: files, include: [/a], format: jsn}]", "json-file"),
        ("bufer: {}", "did you mean buffer?"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(text: str, message: str) -> None:
    """With a sentence that says what would be right."""
    with pytest.raises(ConfigError) as error:
        validate(parse(text, "x.yml"), LogshipConfig)

    assert message in str(error.value)

"""What an operator can say about log shipping (``logship:`` in the configuration)."""

from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from configfile.validate import Section
from logship.policy_config import (
    FieldName,
    FormatConfig,
    LimitConfig,
    LogMetricConfig,
    NumberType,
    RedactionConfig,
)
from logship.socket_config import (
    BufferConfig,
    ForwardSinkConfig,
    ForwardSourceConfig,
    OtlpSourceConfig,
    StdoutSinkConfig,
)
from logship.source.config import DockerSourceConfig, FilesSourceConfig, SandboxSourceConfig

if TYPE_CHECKING:
    from logship.policy import Policy

_NAME = r"^[a-z0-9][a-z0-9_.]{0,99}$"


def _has_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.port)
    except ValueError:  # the port is no number
        return False


class EmbeddedSinkConfig(Section):
    """Into the log store of this process or, for ``agent``, of the server."""

    type: Literal["embedded"]


class ElasticsearchSinkConfig(Section):
    """Into Elasticsearch data streams ``logs-<dataset>-<namespace>``."""

    type: Literal["elasticsearch"]
    endpoints: tuple[str, ...] = ("http://127.0.0.1:9200",)
    username: str = ""
    password_file: str = ""
    api_key_file: str = ""
    ca_file: str = ""
    dataset: str = Field(default="task", pattern=_NAME)
    namespace: str = Field(default="default", pattern=_NAME)
    compress: bool = False
    retention_days: float = Field(default=30.0, ge=0)  # 0 keeps everything
    rollover_days: float = Field(default=7.0, gt=0)
    rollover_bytes: int = Field(default=50 << 30, ge=1 << 20)
    install_templates: bool = True
    requests_in_flight: int = Field(default=4, ge=1, le=32)

    @field_validator("endpoints")
    @classmethod
    def _urls(cls, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        if not endpoints:
            raise ValueError("needs at least one URL, like http://127.0.0.1:9200")
        for endpoint in endpoints:
            if not endpoint.startswith(("http://", "https://")):
                raise ValueError(f"{endpoint!r} is no URL; it must start with http:// or https://")
            if not _has_port(endpoint):
                raise ValueError(f"{endpoint!r} needs host and port, like http://127.0.0.1:9200")
        if len({endpoint.partition("://")[0] for endpoint in endpoints}) > 1:
            raise ValueError("all nodes must be reached by http, or all by https")
        return endpoints

    @model_validator(mode="after")
    def _one_login(self) -> "ElasticsearchSinkConfig":
        if self.username and self.api_key_file:
            raise ValueError("username and api_key_file exclude each other; keep one")
        if self.username and not self.password_file:
            raise ValueError("username needs password_file")
        if self.ca_file and not self.endpoints[0].startswith("https://"):
            raise ValueError("ca_file is for endpoints with https://")
        return self


SinkConfig = Annotated[
    EmbeddedSinkConfig | ElasticsearchSinkConfig | ForwardSinkConfig | StdoutSinkConfig,
    Field(discriminator="type"),
]


SourceConfig = Annotated[
    DockerSourceConfig
    | SandboxSourceConfig
    | FilesSourceConfig
    | ForwardSourceConfig
    | OtlpSourceConfig,
    Field(discriminator="type"),
]
_SOURCES: Final = (DockerSourceConfig(type="docker"), SandboxSourceConfig(type="sandbox"))


class LogshipConfig(Section):
    """The section ``logship:``."""

    enabled: bool = True
    sources: tuple[SourceConfig, ...] = _SOURCES
    sinks: tuple[SinkConfig, ...] = (EmbeddedSinkConfig(type="embedded"),)
    dataset: str = Field(default="task", pattern=_NAME)
    redact: bool = True
    buffer: BufferConfig = BufferConfig()
    redaction: RedactionConfig = RedactionConfig()
    formats: tuple[FormatConfig, ...] = ()
    limits: tuple[LimitConfig, ...] = ()
    metrics: tuple[LogMetricConfig, ...] = ()
    fields: dict[FieldName, NumberType] = Field(default_factory=dict)
    request_timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    checkpoint_interval_seconds: float = Field(default=1.0, gt=0, le=60)
    poll_interval_seconds: float = Field(default=0.25, ge=0.02, le=10)

    @field_validator("sinks")
    @classmethod
    def _each_once(cls, sinks: tuple[SinkConfig, ...]) -> tuple[SinkConfig, ...]:
        if not sinks:
            raise ValueError("needs at least one sink; enabled: false switches log shipping off")
        if len({sink.type for sink in sinks}) != len(sinks):
            raise ValueError("a sink of each type may stand once")
        if not any(isinstance(s, EmbeddedSinkConfig | ElasticsearchSinkConfig) for s in sinks):
            raise ValueError("needs one that can be searched beside these: embedded or elasticsearch")  # fmt: skip
        return sinks

    @field_validator("sources")
    @classmethod
    def _sources_once(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        types = [source.type for source in sources]
        for name in set(types):
            if types.count(name) > 1 and name in ("docker", "sandbox", "forward", "otlp"):
                raise ValueError(f"a source of type {name} may stand once")
        return sources

    @field_validator("metrics")
    @classmethod
    def _names_once(cls, metrics: tuple[LogMetricConfig, ...]) -> tuple[LogMetricConfig, ...]:
        names = [metric.name for metric in metrics]
        for metric in metrics:
            if names.count(metric.name) > 1 and len({(m.type, m.buckets, *m.labels) for m in metrics if m.name == metric.name}) > 1:  # fmt: skip
                raise ValueError(f"{metric.name} stands several times, with other types, buckets or labels")  # fmt: skip
        return metrics

    def policy(self) -> "Policy":
        """Return what was decided about the lines themselves."""
        from logship.policy import Policy

        return Policy(
            tuple(one.built() for one in self.formats),
            tuple(one.built() for one in self.limits),
            tuple(one.built() for one in self.metrics),
            dict(self.fields),
        )

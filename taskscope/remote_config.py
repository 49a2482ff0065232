"""The ``remote_write`` section, in Prometheus's words."""

import hashlib
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from collector.config import (
    AuthorizationConfig,
    BasicAuthConfig,
    Duration,
    RelabelConfig,
    TlsConfig,
)
from collector.scrape.target import Credentials
from configfile.validate import Section


class QueueConfig(Section):
    """``queue_config``; samples wait in the write-ahead log, so little has to wait in memory.

    Attributes:
        capacity: Samples that wait in one shard at most.
        min_shards: Connections at the start, and at least.
        max_shards: Connections at most.
        max_samples_per_send: Most samples of one request.
        batch_send_deadline: Longest time a sample waits for a request to be full.
        min_backoff: First pause before another try; doubled each time.
        max_backoff: Longest pause.
        retry_on_http_429: Whether what is answered with 429 is sent again.
    """

    capacity: int = Field(10_000, ge=1)
    min_shards: int = Field(1, ge=1)
    max_shards: int = Field(50, ge=1)
    max_samples_per_send: int = Field(2_000, ge=1)
    batch_send_deadline: Duration = 5.0
    min_backoff: Duration = 0.03
    max_backoff: Duration = 5.0
    retry_on_http_429: bool = True

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_shards > self.max_shards:
            raise ValueError("min_shards is above max_shards")
        if self.min_backoff > self.max_backoff:
            raise ValueError("min_backoff is above max_backoff")
        return self


class MetadataConfig(Section):
    """``metadata_config``.

    Attributes:
        send: Whether types, helps and units of metrics are sent.
        send_interval: How often; 2.0 sends them with each series, and looks for new ones so often.
        max_samples_per_send: Most metric families of one request (1.0).
    """

    send: bool = True
    send_interval: Duration = 60.0
    max_samples_per_send: int = Field(2_000, ge=1)


class RemoteStoreConfig(Section):
    """How another store is reached.

    Attributes:
        basic_auth: User and password.
        authorization: A token.
        tls_config: How certificates are judged.
        remote_timeout: For one request.
        headers: Sent with each request.
    """

    basic_auth: BasicAuthConfig | None = None
    authorization: AuthorizationConfig | None = None
    tls_config: TlsConfig = TlsConfig()
    remote_timeout: Duration = 30.0
    headers: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.basic_auth is not None and self.authorization is not None:
            raise ValueError("basic_auth and authorization exclude each other")
        return self

    @field_validator("headers")
    @classmethod
    def _free(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name.lower() in _RESERVED:
                raise ValueError(f"the header {name} is set by the protocol itself")
        return value

    def credentials(self, base: Path) -> Credentials:
        """Return what to send; files are relative to ``base`` and read for each request."""
        auth = self.basic_auth or self.authorization
        return auth.build(base) if auth is not None else Credentials()


class RemoteWriteConfig(RemoteStoreConfig):
    """One item of ``remote_write``: a store that gets every sample that this one stores.

    Attributes:
        url: Where to.
        name: What metrics and state call it; made of the url if left out.
        protobuf_message: The protocol's version: 1.0, or 2.0 as io.prometheus.write.v2.Request.
        send_exemplars: Whether exemplars are sent.
        send_native_histograms: Whether native histograms are sent.
        write_relabel_configs: Change or drop series on their way.
        queue_config: How requests are made.
        metadata_config: Whether metadata are sent.
    """

    url: str
    name: str = ""
    protobuf_message: Literal["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] = (
        "prometheus.WriteRequest"
    )
    send_exemplars: bool = False
    send_native_histograms: bool = False
    write_relabel_configs: tuple[RelabelConfig, ...] = ()
    queue_config: QueueConfig = QueueConfig()
    metadata_config: MetadataConfig = MetadataConfig()

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is not a URL; write http://host:port/api/v1/write")
        return value

    @property
    def version(self) -> int:
        """The protocol's version, 1 or 2."""
        return 1 if self.protobuf_message == "prometheus.WriteRequest" else 2

    def called(self) -> str:
        """Return its name."""
        return self.name or hashlib.sha256(self.url.encode()).hexdigest()[:6]


_RESERVED = frozenset({
    "authorization", "content-encoding", "content-length", "content-type", "host", "user-agent",
    "x-prometheus-remote-write-version",
})  # fmt: skip


class RemoteReadConfig(RemoteStoreConfig):
    """The item of ``remote_read``: queries and rules are answered by that store instead of the embedded one.

    Attributes:
        url: Of its remote read endpoint; the rest of its API is beside it.
    """

    url: str
    remote_timeout: Duration = 60.0

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.path.endswith("/read"):
            raise ValueError(f"{value!r} is no remote read URL; write http://host:9090/api/v1/read")
        return value

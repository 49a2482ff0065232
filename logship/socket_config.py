"""What an operator can say about logs that come and go over sockets, and about the buffer between."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from configfile.listen import split_listen
from configfile.validate import Section


class BufferConfig(Section):
    """How much may wait for the sinks: of each in memory, of what came over sockets on disk."""

    memory_bytes: int = Field(default=8 << 20, ge=1 << 20, le=1 << 30)
    disk_bytes: int = Field(default=1 << 30, ge=64 << 20, le=1 << 40)


class ServerTlsConfig(Section):
    """A certificate with its key; with ``client_ca_file`` clients need one too."""

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""

    @model_validator(mode="after")
    def _whole(self) -> "ServerTlsConfig":
        if (self.key_file or self.client_ca_file) and not self.cert_file:
            raise ValueError("needs cert_file")
        return self


class ForwardSourceConfig(Section):
    """Fluentd's forward protocol: Docker's fluentd driver, fluent-logger, Fluent Bit, Fluentd."""

    type: Literal["forward"]
    listen: str = "127.0.0.1:24224"
    shared_key_file: str = ""
    tls: ServerTlsConfig = ServerTlsConfig()
    message_bytes: int = Field(default=8 << 20, ge=64 << 10, le=64 << 20)
    memory_bytes: int = Field(default=32 << 20, ge=1 << 20, le=1 << 30)
    connections_max: int = Field(default=4096, ge=1, le=65536)

    @field_validator("listen")
    @classmethod
    def _loopback(cls, value: str) -> str:
        split_listen(value, "127.0.0.1:24224")
        return value


class OtlpSourceConfig(Section):
    """OTLP logs over HTTP, protobuf and JSON."""

    type: Literal["otlp"]
    listen: str = "127.0.0.1:4318"
    request_bytes: int = Field(default=8 << 20, ge=64 << 10, le=64 << 20)
    threads: int = Field(default=2, ge=1, le=32)

    @field_validator("listen")
    @classmethod
    def _loopback(cls, value: str) -> str:
        split_listen(value, "127.0.0.1:4318")
        return value


class ForwardSinkConfig(Section):
    """To Fluentd or Fluent Bit, with acknowledgements."""

    type: Literal["forward"]
    endpoint: str = "tcp://127.0.0.1:24224"
    tag: str = Field(default="taskscope", min_length=1, max_length=200)
    shared_key_file: str = ""
    ca_file: str = ""
    compress: bool = True

    @field_validator("endpoint")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("tcp", "tls") and bool(parts.hostname and parts.port)
        except ValueError:  # the port is no number
            good = False
        if not good:
            raise ValueError(f"{value!r} is no address; it looks like tcp://127.0.0.1:24224 or tls://fluentd:24224")  # fmt: skip
        return value

    @model_validator(mode="after")
    def _trusted(self) -> "ForwardSinkConfig":
        if self.ca_file and not self.endpoint.startswith("tls://"):
            raise ValueError("ca_file is for endpoints with tls://")
        return self


class StdoutSinkConfig(Section):
    """One JSON document per line on this process's standard output."""

    type: Literal["stdout"]


SocketSourceConfig = Annotated[ForwardSourceConfig | OtlpSourceConfig, Field(discriminator="type")]

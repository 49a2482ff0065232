"""The ``collector:`` section; ``scrape_configs`` keeps Prometheus's words.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/ describes it.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from collector.roots import HostRoots
from collector.scrape.discovery import FileConfig, ScrapeConfig, StaticConfig
from collector.scrape.relabel import Action, RelabelRule
from collector.scrape.target import (
    DEFAULT_BODY_BYTES,
    Credentials,
    ScrapeJob,
    Tls,
    split_address,
)
from configfile.duration import parse_duration
from configfile.validate import Section

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([KMGT]i?)?B?", re.IGNORECASE)
_NAMES_ONLY: Final = frozenset({"labelmap", "labeldrop", "labelkeep"})


def _duration(value: Any) -> Any:
    return parse_duration(value) / 1000 if isinstance(value, str) else value


def _size(value: Any) -> Any:
    """Read a size as Prometheus does: MB and MiB are both powers of 1024."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    if found is None:
        raise ValueError(f"{value!r} is not a size; write 10MB")
    power = " KMGT".index((found[2] or " ")[0].upper())
    return int(float(found[1]) * 1024**power)


Duration = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Limit = Annotated[int, Field(ge=0)]


class BasicAuthConfig(Section):
    """``basic_auth``."""

    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: str = ""

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.password.get_secret_value() and self.password_file:
            raise ValueError("password and password_file exclude each other")
        return self

    def build(self, base: Path) -> Credentials:
        """Return what to send; files are relative to ``base``."""
        secret, file = self.password.get_secret_value(), _file(base, self.password_file)
        return Credentials("Basic", secret, file, self.username)


class AuthorizationConfig(Section):
    """``authorization``."""

    type: str = "Bearer"
    credentials: SecretStr = SecretStr("")
    credentials_file: str = ""

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.credentials.get_secret_value() and self.credentials_file:
            raise ValueError("credentials and credentials_file exclude each other")
        if self.type.strip().lower() == "basic":
            raise ValueError("type must not be basic; use basic_auth")
        return self

    def build(self, base: Path) -> Credentials:
        """Return what to send; files are relative to ``base``."""
        secret, file = self.credentials.get_secret_value(), _file(base, self.credentials_file)
        return Credentials(self.type.strip(), secret, file)


class TlsConfig(Section):
    """``tls_config``."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False

    def build(self, base: Path) -> Tls:
        """Return how certificates are judged; files are relative to ``base``."""
        files = {
            name: _file(base, getattr(self, name)) for name in ("ca_file", "cert_file", "key_file")
        }
        return Tls(**{**self.model_dump(), **files})


class RelabelConfig(Section):
    """One step of ``relabel_configs`` or ``metric_relabel_configs``."""

    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    target_label: str = ""
    regex: str = "(.*)"
    modulus: int = 0
    replacement: str = "$1"
    action: Action = "replace"

    @field_validator("action", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        RelabelRule(regex=value)
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.action in _NAMES_ONLY or self.action in ("keep", "drop"):
            return self
        if not self.target_label:
            raise ValueError(f"the action {self.action} needs a target_label")
        if self.action == "hashmod" and self.modulus <= 0:
            raise ValueError("the action hashmod needs a modulus above zero")
        if self.action != "replace" and not _LABEL.fullmatch(self.target_label):
            raise ValueError(f"{self.target_label!r} is not a label name")
        return self

    def rule(self) -> RelabelRule:
        """Return the step, compiled."""
        return RelabelRule(**self.model_dump())


class StaticSdConfig(Section):
    """One item of ``static_configs``."""

    targets: tuple[str, ...]
    labels: dict[str, str] = Field(default_factory=dict)

    @field_validator("targets")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for target in value:
            if split_address(target, 80) is None:
                raise ValueError(f"{target!r} is not an address; write host:port")
        return value


class FileSdConfig(Section):
    """One item of ``file_sd_configs``; changed files are seen within seconds, all are read again after the interval."""

    files: tuple[str, ...]
    refresh_interval: Duration = 300.0


class HttpClientConfig(Section):
    """What HTTP clients have in common."""

    basic_auth: BasicAuthConfig | None = None
    authorization: AuthorizationConfig | None = None
    tls_config: TlsConfig = TlsConfig()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.basic_auth is not None and self.authorization is not None:
            raise ValueError("basic_auth and authorization exclude each other")
        return self

    def credentials(self, base: Path) -> Credentials:
        """Return what to send; files are relative to ``base``."""
        auth = self.basic_auth or self.authorization
        return auth.build(base) if auth is not None else Credentials()

    def tls(self, base: Path) -> Tls:
        """Return how certificates are judged; files are relative to ``base``."""
        return self.tls_config.build(base)


class ScrapeConfigConfig(HttpClientConfig):
    """One item of ``scrape_configs``."""

    job_name: str = Field(min_length=1)
    scrape_interval: Duration | None = None
    scrape_timeout: Duration | None = None
    metrics_path: str = "/metrics"
    scheme: Literal["http", "https"] = "http"
    params: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    honor_labels: bool = False
    honor_timestamps: bool = True
    enable_compression: bool = True
    follow_redirects: bool = True
    static_configs: tuple[StaticSdConfig, ...] = ()
    file_sd_configs: tuple[FileSdConfig, ...] = ()
    relabel_configs: tuple[RelabelConfig, ...] = ()
    metric_relabel_configs: tuple[RelabelConfig, ...] = ()
    sample_limit: Limit = 0
    label_limit: Limit = 0
    label_name_length_limit: Limit = 0
    label_value_length_limit: Limit = 0
    target_limit: Limit = 0
    body_size_limit: Size = DEFAULT_BODY_BYTES

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if (
            self.scrape_interval is not None
            and self.scrape_timeout is not None
            and self.scrape_timeout > self.scrape_interval
        ):
            raise ValueError("scrape_timeout is longer than scrape_interval")
        return self

    def build(self, interval: float, timeout: float, base: Path) -> ScrapeConfig:
        """Return the job and its discoverers.

        Args:
            interval: Seconds between scrapes where the section says nothing.
            timeout: Likewise for the timeout.
            base: Directory that relative files are in.
        """
        interval = self.scrape_interval or interval
        job = ScrapeJob(
            self.job_name,
            interval,
            min(self.scrape_timeout or timeout, interval),
            self.metrics_path,
            self.scheme,
            tuple((name, value) for name, values in self.params.items() for value in values),
            self.honor_labels,
            self.honor_timestamps,
            self.enable_compression,
            self.credentials(base),
            self.tls(base),
            tuple(config.rule() for config in self.relabel_configs),
            tuple(config.rule() for config in self.metric_relabel_configs),
            self.sample_limit,
            self.label_limit,
            self.label_name_length_limit,
            self.label_value_length_limit,
            self.body_size_limit,
            self.target_limit,
            self.follow_redirects,
        )
        files = tuple(
            FileConfig(tuple(_file(base, name) for name in config.files), config.refresh_interval)
            for config in self.file_sd_configs
        )
        static = tuple(StaticConfig(c.targets, c.labels) for c in self.static_configs)
        return ScrapeConfig(job, (*static, *files))


class CollectorConfig(Section):
    """``collector:``.

    Attributes:
        interval_seconds: From one collection to the next; also of scrapes that say nothing else.
        scrape_timeout_seconds: Of scrapes that say nothing else.
        scrape_configs: Further targets, beside those that containers declare by label.
        proc_root: The host's /proc, for running in a container.
        sys_root: The host's /sys.
        cgroup_root: The host's /sys/fs/cgroup.
        rootfs: The host's /.
    """

    interval_seconds: float = Field(default=15.0, ge=1)
    scrape_timeout_seconds: float = Field(default=10.0, gt=0)
    scrape_configs: tuple[ScrapeConfigConfig, ...] = ()
    proc_root: str = "/proc"
    sys_root: str = "/sys"
    cgroup_root: str = "/sys/fs/cgroup"
    rootfs: str = "/"

    @field_validator("scrape_configs")
    @classmethod
    def _names_once(cls, value: tuple[ScrapeConfigConfig, ...]) -> tuple[ScrapeConfigConfig, ...]:
        names = [config.job_name for config in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the job_name {', '.join(twice)} stands twice")
        return value

    def roots(self) -> HostRoots:
        """Return where the host is seen."""
        return HostRoots(self.proc_root, self.sys_root, self.cgroup_root, self.rootfs)

    def scrapes(self, base: Path) -> list[ScrapeConfig]:
        """Return the operator's scrape jobs; relative files are in ``base``, the configuration's directory."""
        return [
            config.build(self.interval_seconds, self.scrape_timeout_seconds, base)
            for config in self.scrape_configs
        ]

    def scrape_defaults(self) -> ScrapeJob:
        """Return how targets that containers declare are scraped where their labels say nothing."""
        timeout = min(self.scrape_timeout_seconds, self.interval_seconds)
        return ScrapeJob("containers", self.interval_seconds, timeout)


def _file(base: Path, name: str) -> str:
    return str(base / name) if name else ""

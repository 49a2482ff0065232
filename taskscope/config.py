"""The configuration file as a whole: one YAML file whose sections the packages own."""

import socket
from pathlib import Path

from pydantic import Field, PrivateAttr, field_validator

from alerting.config import AlertingConfig
from alerting.rule_paths import files_of
from collector.config import CollectorConfig
from configfile.document import load
from configfile.listen import LOOPBACK, split_listen
from configfile.validate import Section, validate
from discovery.config import DiscoveryConfig
from healthcheck.config import HealthcheckConfig
from logship.config import LogshipConfig
from model.errors import ConfigError, OperatorError
from storage.config import LogDbConfig, StorageConfig
from taskscope.paths import default_data_dir
from taskscope.remote_config import RemoteReadConfig, RemoteWriteConfig
from web.config import QueryConfig, WebConfig

__all__ = ["LOOPBACK", "TaskscopeConfig", "load_config", "split_listen"]


class TaskscopeConfig(Section):
    """All settings; every one has a working default.

    Attributes:
        cluster: Name that all of this host's tasks are listed under.
        host: This host's name; the kernel's if left out.
        listen: Address of console and API.
        data_dir: Where everything is kept; the user's state folder if left out.
        external_labels: Added to every series that is sent on to another store.
        remote_write: Stores that get every sample that this one stores.
        remote_read: The store that answers queries and rules instead of the embedded one; at most one.
    """

    cluster: str = Field(default="local", min_length=1)
    host: str = ""
    listen: str = "127.0.0.1:9800"
    data_dir: str = ""
    discovery: DiscoveryConfig = DiscoveryConfig()
    collector: CollectorConfig = CollectorConfig()
    healthcheck: HealthcheckConfig = HealthcheckConfig()
    logship: LogshipConfig = LogshipConfig()
    storage: StorageConfig = StorageConfig()
    logdb: LogDbConfig = LogDbConfig()
    alerting: AlertingConfig = AlertingConfig()
    query: QueryConfig = QueryConfig()
    web: WebConfig = WebConfig()
    external_labels: dict[str, str] = Field(default_factory=dict)
    remote_write: tuple[RemoteWriteConfig, ...] = ()
    remote_read: tuple[RemoteReadConfig, ...] = Field(default=(), max_length=1)

    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @field_validator("remote_write")
    @classmethod
    def _names_once(cls, value: tuple[RemoteWriteConfig, ...]) -> tuple[RemoteWriteConfig, ...]:
        names = [one.called() for one in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two endpoints are called {name!r}; give each a name of its own")
        return value

    @field_validator("listen")
    @classmethod
    def _loopback(cls, value: str) -> str:
        split_listen(value)
        return value

    @property
    def base(self) -> Path:
        """Directory of the configuration file: relative files in it are meant from there."""
        return self._base

    def data_path(self) -> Path:
        """Return the data folder."""
        return self._base / self.data_dir if self.data_dir else default_data_dir()

    def host_name(self) -> str:
        """Return the name of this host."""
        return self.host or socket.gethostname()

    def yaml(self) -> str:
        """Return all settings in force as YAML; secrets are starred out."""
        import yaml

        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))

    def rule_paths(self) -> list[Path]:
        """Return the rule files, the shipped ones first."""
        return files_of(self.alerting.rule_files, self._base, shipped=self.alerting.shipped_rules)


def load_config(
    file: Path | None, *, listen: str = "", data_dir: Path | None = None
) -> TaskscopeConfig:
    """Return the configuration of a file, or the defaults; what the command line says stands above it.

    Raises:
        ConfigError: With every problem of the file.
        OperatorError: If an option is wrong.
    """
    if file is None:
        config, base = TaskscopeConfig(), Path.cwd()
    else:
        document = load(file)
        if not isinstance(document.data, dict):
            raise ConfigError(
                [document.problem((), "must be settings (key: value), not a list or a text")]
            )
        config, base = validate(document, TaskscopeConfig), file.resolve().parent
    updates: dict[str, object] = {}
    if listen:
        try:
            split_listen(listen)
        except ValueError as error:
            raise OperatorError(f"--listen: {error}") from error
        updates["listen"] = listen
    if data_dir is not None:
        updates["data_dir"] = str(data_dir.resolve())
    config = config.model_copy(update=updates)
    config._base = base  # noqa: SLF001  a private attribute of our own class
    return config

"""The section ``discovery:`` of the configuration file."""

from typing import Annotated

from pydantic import Field, field_validator

from configfile.validate import Section
from discovery.docker.client import DEFAULT_SOCKET


class DockerConfig(Section):
    """A Docker Engine to watch."""

    enabled: bool = True
    socket: str = DEFAULT_SOCKET

    @field_validator("socket")
    @classmethod
    def _unix(cls, value: str) -> str:
        if not value.startswith("unix:///"):
            raise ValueError(f"is no socket; it must look like {DEFAULT_SOCKET}")
        return value


class ProcessConfig(Section):
    """Tasks started by ``taskscope run``."""

    enabled: bool = True


class DiscoveryConfig(Section):
    """Which runtimes are asked for their tasks.

    Attributes:
        docker: See DockerConfig.
        process: See ProcessConfig.
        retention_hours: How long ended tasks stay listed.
        label_allow_list: Container labels that ``task_info`` carries, as ``container_label_<name>``.
    """

    docker: DockerConfig = DockerConfig()
    process: ProcessConfig = ProcessConfig()
    retention_hours: Annotated[float, Field(gt=0)] = 24.0
    label_allow_list: tuple[str, ...] = ()

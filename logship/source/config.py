"""What an operator can say about where logs come from: files and containers."""

from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from configfile.validate import Section


class DockerSourceConfig(Section):
    """The logs of Docker's containers: their json-file logs, or Docker's API where there are none."""

    type: Literal["docker"]


class SandboxSourceConfig(Section):
    """``stdout`` and ``stderr`` in the sandboxes of tasks, with their rotated files."""

    type: Literal["sandbox"]


class FilesSourceConfig(Section):
    """Files of this host, by name: ``*`` and ``?`` stand for parts of a name, ``**`` for folders."""

    type: Literal["files"]
    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    app: str = Field(default="", max_length=200)
    format: Literal["auto", "json-file", "cri", "plain"] = "auto"

    @field_validator("include", "exclude")
    @classmethod
    def _paths(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not PurePosixPath(pattern).is_absolute():
                raise ValueError(f"{pattern!r} must be a whole path, like /var/log/shop/*.log")
            if ".." in PurePosixPath(pattern).parts:
                raise ValueError(f"{pattern!r} must not go up with ..")
        return patterns

    @field_validator("include")
    @classmethod
    def _some(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if not patterns:
            raise ValueError("needs at least one path, like /var/log/shop/*.log")
        return patterns

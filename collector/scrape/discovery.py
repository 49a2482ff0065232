"""Targets that an operator writes down: in the configuration, and in files that are read again when they change."""

import glob
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml
from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, TypeAdapter

from collector.scrape.target import ScrapeJob

Found = dict[str, str]


class TargetGroup(BaseModel):
    """One item of a file of targets."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    targets: tuple[str, ...] = ()
    labels: dict[str, str] = {}


_GROUPS: Final = TypeAdapter(list[TargetGroup])


class StaticConfig(Struct, frozen=True):
    """Prometheus's ``static_config``: addresses and labels they share."""

    targets: tuple[str, ...]
    labels: Mapping[str, str]

    def found(self) -> list[Found]:
        """Return the labels of each target before relabelling."""
        return [{**self.labels, "__address__": target} for target in self.targets]


class FileConfig(Struct):
    """Prometheus's ``file_sd_config``: JSON or YAML lists of ``{targets: [...], labels: {...}}``.

    A file that cannot be read or is wrong keeps its last good targets; one that is gone loses them.

    Attributes:
        patterns: Of file names.
        refresh_seconds: After this long files are read again even if they look unchanged.
        problems: What is wrong with files, a sentence each.
    """

    patterns: tuple[str, ...]
    refresh_seconds: float = 300.0
    problems: list[str] = field(default_factory=list)
    _seen: dict[str, tuple[tuple[int, int], list[Found]]] = field(default_factory=dict)
    _due: float = 0.0

    def found(self) -> list[Found]:
        """Return the labels of each target before relabelling; reads only files that have changed, or all when it is time."""
        files = sorted({name for pattern in self.patterns for name in glob.glob(pattern)})  # noqa: PTH207
        for gone in self._seen.keys() - set(files):
            del self._seen[gone]
        self.problems = []
        now = time.monotonic()
        if all_again := now >= self._due:
            self._due = now + self.refresh_seconds
        for name in files:
            try:
                stat = Path(name).stat()
                mark = (stat.st_mtime_ns, stat.st_size)
                known = self._seen.get(name)
                if all_again or known is None or known[0] != mark:
                    self._seen[name] = (mark, read_targets(name))
            except (OSError, ValueError, yaml.YAMLError) as error:
                self.problems.append(f"{name}: {error}")
        return [labels for _, found in self._seen.values() for labels in found]


def read_targets(name: str) -> list[Found]:
    """Read one file of targets.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not what Prometheus's file_sd describes.
        yaml.YAMLError: If it is no YAML.
    """
    text = Path(name).read_text(encoding="utf-8")
    data = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    groups = _GROUPS.validate_python([] if data is None else data)
    return [
        {**group.labels, "__meta_filepath": name, "__address__": target}
        for group in groups
        for target in group.targets
    ]


Discoverer = StaticConfig | FileConfig


class ScrapeConfig(Struct, frozen=True):
    """One ``scrape_config``: how, and where the targets come from."""

    job: ScrapeJob
    discoverers: tuple[Discoverer, ...] = ()

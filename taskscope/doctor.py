"""Looks at this host before (or beside) a running Taskscope and says what works, what does not, and why."""

import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from msgspec import Struct

from discovery.docker.client import DockerClient
from logship.config import ElasticsearchSinkConfig
from model.errors import DiscoveryError
from taskscope.config import TaskscopeConfig, split_listen
from taskscope.elasticsearch import connection_of
from taskscope.space import LITTLE_BYTES, free_bytes, shortage

_SHOWN_PROBLEMS = 5


class Verdict(Enum):
    """How a finding is to be taken."""

    GOOD = "good"
    NOTE = "note"  # works with less
    BAD = "bad"


class Finding(Struct, frozen=True):
    """One thing looked at: what, how it is, and a sentence that says what to do if it is not good."""

    what: str
    verdict: Verdict
    sentence: str


def examine(config: TaskscopeConfig) -> Iterator[Finding]:
    """Yield one finding after the other; each look is bounded in time."""
    looks: tuple[Callable[[TaskscopeConfig], Iterator[Finding]], ...] = (
        _python, _data, _listen, _docker, _cgroups, _elasticsearch,
    )  # fmt: skip
    for look in looks:
        yield from look(config)


def _python(config: TaskscopeConfig) -> Iterator[Finding]:
    good = sys.platform.startswith("linux")
    where = f"Python {platform.python_version()} on {platform.system()} {platform.release()}"
    yield Finding(
        "system",
        Verdict.GOOD if good else Verdict.BAD,
        where if good else f"{where}; only Linux is supported",
    )


def _data(config: TaskscopeConfig) -> Iterator[Finding]:
    folder = config.data_path()
    there = next(p for p in (folder, *folder.parents) if os.path.exists(p))  # noqa: PTH110  Path.exists raises where a folder above may not be entered
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "data", Verdict.BAD, f"{folder} cannot be written; choose another with --data-dir"
        )
        return
    if short := shortage(there):
        yield Finding("data", Verdict.BAD, short)
        return
    free = free_bytes(there)
    little = "; that is little" if free < LITTLE_BYTES else ""
    yield Finding(
        "data",
        Verdict.NOTE if little else Verdict.GOOD,
        f"{folder}, {free >> 20} MiB free{little}",
    )


def _listen(config: TaskscopeConfig) -> Iterator[Finding]:
    host, port = split_listen(config.listen)
    if status := running(config):
        yield Finding(
            "server",
            Verdict.GOOD,
            f"Taskscope {status['version']} ({status['kind']}) answers at http://{config.listen}",
        )
        problems = [*status.get("problems", ()), *status.get("rule_problems", ())]
        for problem in problems[:_SHOWN_PROBLEMS]:
            yield Finding("server", Verdict.NOTE, problem)
        if (more := len(problems) - _SHOWN_PROBLEMS) > 0:
            yield Finding(
                "server", Verdict.NOTE, f"{more} more; the console's status page has them"
            )
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
        except OSError as error:
            yield Finding(
                "server",
                Verdict.BAD,
                f"{config.listen} cannot be listened on: {error.strerror}; choose another with --listen",
            )
            return
    yield Finding("server", Verdict.GOOD, f"not running; {config.listen} is free")


def running(config: TaskscopeConfig) -> dict[str, Any] | None:
    """Return the status of a Taskscope at the configured address, None if there is none."""
    from taskscope.cli import client

    try:
        status: dict[str, Any] = client.get(f"http://{config.listen}", "/api/status")
    except Exception:
        return None
    return status if "kind" in status else None


def _docker(config: TaskscopeConfig) -> Iterator[Finding]:
    if not config.discovery.docker.enabled:
        yield Finding("docker", Verdict.NOTE, "switched off by discovery.docker.enabled")
        return
    client = DockerClient(config.discovery.docker.socket)
    try:
        version = client.negotiate()
        containers = client.get("/containers/json")
        info = client.get("/info")
    except DiscoveryError as error:
        yield Finding("docker", Verdict.NOTE, f"{error}; without it only process tasks are seen")
        return
    yield Finding(
        "docker", Verdict.GOOD, f"Docker {version['Version']}, {len(containers)} containers run"
    )
    driver, root = info["LoggingDriver"], Path(info["DockerRootDir"]) / "containers"
    if driver != "json-file":
        yield Finding(
            "logs",
            Verdict.NOTE,
            f"containers log through {driver} by default; they are read through Docker's API",
        )
    elif not os.access(root, os.R_OK | os.X_OK):
        yield Finding(
            "logs",
            Verdict.NOTE,
            f"{root} may not be read by this user; logs are read through Docker's API",
        )
    else:
        yield Finding("logs", Verdict.GOOD, f"json-file logs in {root} can be read")


def _cgroups(config: TaskscopeConfig) -> Iterator[Finding]:
    root = Path(config.collector.cgroup_root)
    if (root / "cgroup.controllers").exists():
        yield Finding("cgroups", Verdict.GOOD, f"version 2 at {root}")
    elif (root / "memory").exists():
        yield Finding("cgroups", Verdict.GOOD, f"version 1 at {root}")
    else:
        yield Finding(
            "cgroups",
            Verdict.BAD,
            f"no cgroup tree at {root}: containers cannot be measured; set collector.cgroup_root",
        )
    if os.geteuid() != 0:
        yield Finding(
            "rights",
            Verdict.NOTE,
            "not root: networks of containers and files of other users may be out of sight",
        )


def _elasticsearch(config: TaskscopeConfig) -> Iterator[Finding]:
    from logship.sink.elasticsearch.examine import examine as look_at

    for sink in config.logship.sinks:
        if isinstance(sink, ElasticsearchSinkConfig):
            stream = f"logs-{sink.dataset}-{sink.namespace}"
            for verdict, sentence in look_at(
                connection_of(sink, config), stream,
                retention_days=sink.retention_days, installs=sink.install_templates,
            ):  # fmt: skip
                yield Finding("elasticsearch", Verdict(verdict), sentence)

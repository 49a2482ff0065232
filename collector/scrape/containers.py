"""Scrape targets that containers declare with labels: ``taskscope.scrape.*`` and ``prometheus.io/*``.

A label can only name a port and a path at that task's own address, never another address, and a
redirect is never followed.
"""

import math
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from collector.scrape.target import ScrapeJob, Target, make_target
from configfile.duration import parse_duration
from model.identity import prometheus_labels
from model.task import Task, TaskState
from model.task_labels import (
    PROMETHEUS_PATH,
    PROMETHEUS_PORT,
    PROMETHEUS_SCHEME,
    PROMETHEUS_SCRAPE,
    SCRAPE_PREFIX,
)

_ALIVE: Final = frozenset({TaskState.RUNNING, TaskState.PAUSED})
_NO: Final = frozenset({"false", "no", "0", "off"})


def container_targets(tasks: Iterable[Task], defaults: ScrapeJob) -> tuple[list[Target], list[str]]:
    """Return the targets that running tasks declare, and what is wrong with other declarations.

    Args:
        tasks: All known tasks.
        defaults: Interval, timeout and limits where labels say nothing.
    """
    targets, problems = [], []
    for task in tasks:
        if task.status.state not in _ALIVE or not _declared(task):
            continue
        try:
            targets.append(_target(task, defaults))
        except ValueError as error:
            name = task.identity.container_name or task.identity.task_name
            problems.append(f"container {name}: {error}")
    return targets, problems


def _declared(task: Task) -> bool:
    labels = task.status.labels
    said = labels.get(SCRAPE_PREFIX + "enabled", labels.get(PROMETHEUS_SCRAPE, "")).lower()
    if said in _NO:
        return False
    return bool(said) or any(key.startswith(SCRAPE_PREFIX) for key in labels)


def _target(task: Task, defaults: ScrapeJob) -> Target:
    labels = task.status.labels

    def said(word: str, customary: str, default: str) -> str:
        return labels.get(SCRAPE_PREFIX + word, labels.get(customary, default))

    job = replace(
        defaults,
        job_name=labels.get(SCRAPE_PREFIX + "job") or task.identity.app or "containers",
        metrics_path=said("path", PROMETHEUS_PATH, "/metrics"),
        scheme=said("scheme", PROMETHEUS_SCHEME, "http"),
        interval_seconds=_seconds(labels.get(SCRAPE_PREFIX + "interval_seconds"), defaults.interval_seconds),
        timeout_seconds=_seconds(labels.get(SCRAPE_PREFIX + "timeout_seconds"), defaults.timeout_seconds),
        enable_compression=False,  # on the same host packing costs more than it saves
    )  # fmt: skip
    found = {
        "__address__": _address(task, said("port", PROMETHEUS_PORT, "")),
        "__meta_taskscope_container_name": task.identity.container_name,
        "__meta_taskscope_image": task.identity.image,
        **prometheus_labels(task.identity),
    }
    made = make_target(job, found)
    if not isinstance(made, Target):
        raise ValueError(made or "is dropped by relabelling")  # noqa: TRY004
    return made


def _address(task: Task, port: str) -> str:
    """Return where the task's port is reached: at its own address, else where it is published on the host."""
    status = task.status
    if not port:
        tcp = sorted({p.container for p in status.ports if p.protocol == "tcp"})
        if len(tcp) != 1:
            raise ValueError(f"has {len(tcp)} ports; say which with {SCRAPE_PREFIX}port")
        port = str(tcp[0])
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise ValueError(f"{port!r} is not a port")
    if status.address:
        return f"[{status.address}]:{port}" if ":" in status.address else f"{status.address}:{port}"
    published = next((p.host for p in status.ports if p.container == int(port) and p.host), 0)
    if not published:
        raise ValueError("has no address of its own and does not publish the port")
    return f"127.0.0.1:{published}"


def _seconds(text: str | None, default: float) -> float:
    if not text:
        return default
    try:
        seconds = parse_duration(text) / 1000 if text[-1].isalpha() else float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text!r} is not a number of seconds above zero")
    return seconds

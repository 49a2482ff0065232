"""Checks that a task's labels declare. Labels come from tasks, so nothing here raises: what is wrong is left out and said.

A label may only declare probes of the task's own address and commands inside its own container; see
docs/specs/identity.md.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from configfile.pattern import compile_pattern
from healthcheck.check import Check, CheckType, Policy, parse_status_ranges, shell
from model.health import CheckKind
from model.task import Task
from model.task_labels import HEALTH_PREFIX

MAX_CHECKS: Final = 16  # per task
_SHORTEST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 86_400.0
_TIMES: Final = ("delay_seconds", "grace_period_seconds", "interval_seconds", "timeout_seconds")
_COUNTS: Final = ("max_consecutive_failures", "success_threshold")
_TEXTS: Final = ("type", "kind", "path", "port", "command", "status", "body_regex")
_KEYS: Final = frozenset(_TIMES + _COUNTS + _TEXTS)


class LabelChecks(Struct, frozen=True):
    """What the labels of one task declare.

    Attributes:
        checks: Those that can be used.
        problems: One sentence for each label that cannot.
    """

    checks: tuple[Check, ...] = ()
    problems: tuple[str, ...] = ()


def label_checks(task: Task) -> LabelChecks:
    """Read the checks in a task's labels."""
    groups: dict[str, dict[str, str]] = {}
    problems = []
    for label, value in sorted(task.status.labels.items()):
        if not label.startswith(HEALTH_PREFIX):
            continue
        name, _, key = label.removeprefix(HEALTH_PREFIX).rpartition(".")
        if key in _KEYS:
            groups.setdefault(name, {})[key] = value.strip()
        else:
            problems.append(f"{label}: unknown; known are {', '.join(sorted(_KEYS))}")
    checks: dict[str, Check] = {}
    for name, values in sorted(groups.items())[:MAX_CHECKS]:
        prefix = HEALTH_PREFIX + (f"{name}." if name else "")
        try:
            check = _check(name, values, has_container=bool(task.identity.container_id))
            if check.name in checks:
                raise _BadLabelError("type", f"a second check of the name {check.name}")
            checks[check.name] = check
        except _BadLabelError as bad:
            problems.append(f"{prefix}{bad.key}: {bad}")
    if len(groups) > MAX_CHECKS:
        problems.append(f"{HEALTH_PREFIX}*: more than {MAX_CHECKS} checks; the rest is ignored")
    return LabelChecks(tuple(checks.values()), tuple(problems))


class _BadLabelError(Exception):
    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _check(name: str, values: Mapping[str, str], *, has_container: bool) -> Check:
    kind_word = values.get("type", "")
    try:
        kind = CheckType(kind_word)
    except ValueError:
        words = ", ".join(t.value for t in CheckType)
        said = f"{kind_word!r} is no type" if kind_word else "is missing"
        raise _BadLabelError("type", f"{said}; there are {words}") from None
    return Check(
        name=name or kind.value,
        type=kind,
        kind=_kind(values),
        policy=_policy(values),
        port=_port(values),
        path=_path(values),
        status=_status(values),
        body_regex=_pattern(values),
        argv=_argv(values, has_container=has_container) if kind is CheckType.COMMAND else (),
    )


def _kind(values: Mapping[str, str]) -> CheckKind:
    try:
        return CheckKind(values.get("kind", "liveness"))
    except ValueError:
        raise _BadLabelError("kind", "must be liveness or readiness") from None


def _policy(values: Mapping[str, str]) -> Policy:
    found: dict[str, Any] = {}
    for key in _TIMES:
        if key in values:
            least = 0.0 if key in {"delay_seconds", "grace_period_seconds"} else _SHORTEST_SECONDS
            found[key] = _number(key, values[key], least, _LONGEST_SECONDS)
    for key in _COUNTS:
        if key in values:
            found[key] = int(_number(key, values[key], 1, 1000))
    return Policy(**found)


def _number(key: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _BadLabelError(key, f"{text[:40]!r} is no number") from None
    if not least <= value <= most:
        raise _BadLabelError(key, f"must be between {least:g} and {most:g}")
    return value


def _port(values: Mapping[str, str]) -> int:
    text = values.get("port", "")
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise _BadLabelError("port", f"{text[:40]!r} is no port")
    return int(text)


def _path(values: Mapping[str, str]) -> str:
    """A path, never an URL: the host is the task's own."""
    path = values.get("path") or "/"
    if not path.startswith("/") or path.startswith("//") or not path.isprintable() or " " in path:
        raise _BadLabelError("path", f"{path[:80]!r} is no path; it starts with one /")
    return path


def _status(values: Mapping[str, str]) -> tuple[tuple[int, int], ...]:
    try:
        return parse_status_ranges(values.get("status") or "200-399")
    except ValueError as error:
        raise _BadLabelError("status", str(error)) from None


def _pattern(values: Mapping[str, str]) -> str:
    pattern = values.get("body_regex", "")
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise _BadLabelError("body_regex", str(error)) from None
    return pattern


def _argv(values: Mapping[str, str], *, has_container: bool) -> tuple[str, ...]:
    """A command line for the container's shell, or a JSON list without one (Docker's exec form)."""
    if not has_container:
        raise _BadLabelError("command", "the task has no container, and labels never run on a host")
    command = values.get("command", "")
    if not command:
        raise _BadLabelError("command", "is missing")
    if command.startswith("["):
        try:
            argv = json.loads(command)
        except ValueError:
            argv = None
        if not isinstance(argv, list) or not argv or not all(isinstance(a, str) for a in argv):
            raise _BadLabelError("command", "starts like a JSON list of texts but is none")
        return tuple(argv)
    return shell(command)

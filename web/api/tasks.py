"""The tasks as JSON: ``/api/tasks`` and ``/api/tasks/<id>``."""

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response
from msgspec.structs import asdict

from model.health import HealthResult, TaskHealth
from model.task import Exit, Run, Task
from web.api.answers import answer, need, sentence
from web.parts import Parts
from web.usage import TaskUsage, Usage

_NO_TASKS: Final = "This process looks for no tasks."


def blueprint(parts: Parts, usage: TaskUsage | None) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("tasks", __name__)

    def current_usage() -> Mapping[str, Usage]:
        return usage.current() if usage is not None else {}

    def healths() -> Mapping[Any, TaskHealth]:
        return parts.health.healths() if parts.health is not None else {}

    @routes.get("/api/tasks")
    def tasks() -> Response:
        known = need(parts.tasks, _NO_TASKS).snapshot()
        used, health = current_usage(), healths()
        return answer([task_json(t, health, used) for t in sorted(known, key=_order)])

    @routes.get("/api/tasks/<path:task_id>")
    def task(task_id: str) -> Response:
        known = need(parts.tasks, _NO_TASKS).snapshot()
        # as Docker's own commands do, a unique beginning of the id is enough
        found = [t for t in known if t.identity.task_id == task_id]
        found = found or [t for t in known if t.identity.task_id.startswith(task_id)]
        if not found:
            return sentence(
                f"There is no task {task_id!r}; ended tasks are forgotten after the retention time.",
                404,
            )
        if len(found) > 1:
            return sentence(f"{task_id!r} is the beginning of {len(found)} task ids.", 400)
        return answer(task_json(found[0], healths(), current_usage()))

    return routes


def _order(task: Task) -> tuple[str, str, str]:
    return task.identity.app, task.identity.task_name, task.identity.task_id


def task_json(
    task: Task, healths: Mapping[Any, TaskHealth], usage: Mapping[str, Usage]
) -> dict[str, Any]:
    """Return a task as the API shows it. The runtime's labels are not part of it: they may hold secrets."""
    status, identity = task.status, task.identity
    health = healths.get(identity.task_id)
    used = usage.get(identity.task_id, Usage())
    current = status.run
    return {
        "id": identity.task_id,
        "identity": asdict(identity),
        "state": status.state.value,
        "ended": status.state.ended,
        "created_ms": status.created_ms,
        "started_ms": status.started_ms,
        "ended_ms": current.ended_ms if current is not None else None,
        "restarts": status.restarts,
        "runs": [run_json(run) for run in status.runs],
        "last_exit": exit_json(status.last_exit),
        "health": health_json(health, status.runtime_health.value),
        "ports": [asdict(port) for port in status.ports],
        "address": status.address,
        "pid": status.pid,
        "sandbox": status.sandbox,
        "log_driver": status.log_driver,
        "cpu_limit": status.cpu_limit,
        "memory_limit_bytes": status.memory_limit_bytes,
        "cpu_cores": used.cpu_cores,
        "memory_bytes": used.memory_bytes,
    }


def run_json(run: Run) -> dict[str, Any]:
    """Return one run."""
    return {
        "number": run.number,
        "started_ms": run.started_ms,
        "ended_ms": run.ended_ms,
        "exit": exit_json(run.exit),
    }


def exit_json(ended: Exit | None) -> dict[str, Any] | None:
    """Return how a run ended, None while it runs."""
    return None if ended is None else asdict(ended)


def health_json(health: TaskHealth | None, runtime_health: str) -> dict[str, Any]:
    """Return a task's health; without checks of ours it is what the runtime says."""
    if health is None:
        return {"status": runtime_health, "since_ms": 0, "ready": None, "checks": []}
    return {
        "status": health.status.value,
        "since_ms": health.since_ms,
        "ready": health.ready,
        "checks": [check_json(check) for check in health.checks],
    }


def check_json(result: HealthResult) -> dict[str, Any]:
    """Return a check's latest result."""
    return {
        "check": result.check,
        "kind": result.kind.value,
        "probe": result.probe.value,
        "status": result.status.value,
        "at_ms": result.at_ms,
        "duration_seconds": result.duration_seconds,
        "failures": result.failures,
        "output": result.output,
    }

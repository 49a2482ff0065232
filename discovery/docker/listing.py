"""What ``GET /containers/json`` says of a container beside what is known of it; pure."""

from collections.abc import Mapping
from typing import Any

from discovery.docker.container import Container
from model.task import HealthStatus, TaskState


def differs(container: Container | None, entry: Mapping[str, Any]) -> bool:
    """Whether a container must be inspected, judged by its line in the listing."""
    if container is None or container.removed or container.docker_state != entry.get("State"):
        return True
    status = container.task.status
    if status.state is TaskState.STAGING:
        return True  # it may have failed to start
    names = {str(name).removeprefix("/") for name in entry.get("Names") or ()}
    if names and container.task.identity.container_name not in names:
        return True
    if entry.get("State") != "running":
        return False
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = {n.get("IPAddress") for n in networks.values() if isinstance(n, dict)} - {"", None}
    text = str(entry.get("Status", ""))
    health = next((h for h in HealthStatus if f"({h.value})" in text), HealthStatus.UNKNOWN)
    if "(health: starting)" in text:
        health = HealthStatus.STARTING
    moved = bool(addresses) and status.address not in addresses
    return moved or health is not status.runtime_health

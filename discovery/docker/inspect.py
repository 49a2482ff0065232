"""What ``GET /containers/{id}/json`` says, in our words; pure, and content with whatever is missing."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from model.task import HealthStatus, Port

_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$")


class Inspection(Struct, frozen=True):
    """One container as Docker sees it now. Times are ms since the epoch, 0 for never.

    Attributes:
        docker_state: created, running, paused, restarting, removing, exited or dead.
        network_of: Id of the container whose network it shares, "" for its own.
        The others are as in TaskStatus and Exit.
    """

    container_id: str
    name: str
    image: str
    labels: Mapping[str, str]
    docker_state: str
    created_ms: int
    started_ms: int
    finished_ms: int
    exit_code: int
    oom_killed: bool
    error: str
    restart_count: int
    health: HealthStatus
    pid: int
    address: str
    network_of: str
    ports: tuple[Port, ...]
    log_path: str
    log_driver: str
    tty: bool
    memory_limit_bytes: int
    cpu_limit: float

    @property
    def running(self) -> bool:
        """Whether a process of it runs; Docker says Running of restarting ones too."""
        return self.docker_state in {"running", "paused"}


def parse_inspection(answer: Mapping[str, Any]) -> Inspection:
    """Read an inspection; what is missing or odd becomes the empty value of its kind."""
    state = _dict(answer, "State")
    config = _dict(answer, "Config")
    host = _dict(answer, "HostConfig")
    mode = str(host.get("NetworkMode") or "")
    restarting = state.get("Status") == "restarting"
    return Inspection(
        container_id=str(answer.get("Id", "")),
        name=str(answer.get("Name", "")).removeprefix("/"),
        image=str(config.get("Image") or answer.get("Image") or ""),
        labels=MappingProxyType({str(k): str(v) for k, v in _dict(config, "Labels").items()}),
        docker_state=str(state.get("Status", "")),
        created_ms=parse_time_ms(answer.get("Created")),
        started_ms=parse_time_ms(state.get("StartedAt")),
        finished_ms=parse_time_ms(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        # while it waits to be restarted, the start to come is counted already
        restart_count=max(0, int(answer.get("RestartCount") or 0) - restarting),
        health=health_of(str(_dict(state, "Health").get("Status"))),
        pid=int(state.get("Pid") or 0),
        address="127.0.0.1" if mode == "host" else _address(answer),
        network_of=mode.removeprefix("container:") if mode.startswith("container:") else "",
        ports=_ports(answer),
        log_path=str(answer.get("LogPath") or ""),
        log_driver=str(_dict(host, "LogConfig").get("Type") or ""),
        tty=bool(config.get("Tty")),
        memory_limit_bytes=int(host.get("Memory") or 0),
        cpu_limit=_cpu_limit(host),
    )


def health_of(word: str) -> HealthStatus:
    """Return what Docker's word for a HEALTHCHECK means; unknown for ``none`` and words of later versions."""
    try:
        return HealthStatus(word)
    except ValueError:
        return HealthStatus.UNKNOWN


def parse_time_ms(text: object) -> int:
    """Return ms since the epoch of Docker's RFC 3339 time; 0 for its zero time or nonsense."""
    match = _TIME.match(str(text or ""))
    if not match:
        return 0
    seconds, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(seconds + ("+00:00" if zone == "Z" else zone))
    except ValueError:
        return 0
    ms = int(moment.astimezone(UTC).timestamp()) * 1000 + int((fraction or "0").ljust(9, "0")[:3])
    return max(ms, 0)  # year 1 stands for never


def _address(answer: Mapping[str, Any]) -> str:
    networks = _dict(_dict(answer, "NetworkSettings"), "Networks")
    for key in ("IPAddress", "GlobalIPv6Address"):
        for name in sorted(networks):
            if address := _dict(networks, name).get(key):
                return str(address)
    return ""


def _ports(answer: Mapping[str, Any]) -> tuple[Port, ...]:
    """Published ports first win over merely exposed ones; each container port once."""
    ports: dict[tuple[int, str], int] = {}
    for text in _dict(_dict(answer, "Config"), "ExposedPorts"):
        ports.setdefault(_port(text), 0)
    for text, bindings in _dict(_dict(answer, "NetworkSettings"), "Ports").items():
        hosts = [str(b.get("HostPort")) for b in bindings or () if isinstance(b, dict)]
        ports[_port(text)] = next((int(h) for h in hosts if h.isdigit()), 0)
    return tuple(Port(n, host, proto) for (n, proto), host in sorted(ports.items()) if n)


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return (int(number) if number.isdigit() else 0, protocol or "tcp")


def _cpu_limit(host: Mapping[str, Any]) -> float:
    if nano := host.get("NanoCpus"):
        return float(nano) / 1e9
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return float(quota) / float(period) if quota > 0 else 0.0


def _dict(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}

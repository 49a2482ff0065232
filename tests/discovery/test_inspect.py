"""What an inspection says, identity, labels and /proc: small tables."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.docker.events import parse_event
from discovery.docker.exec import read_output
from discovery.docker.identity import app_of_name, container_identity
from discovery.docker.inspect import parse_inspection, parse_time_ms
from discovery.labels import exported_labels
from discovery.proc import cgroup_path, start_ticks
from model.task import HealthStatus
from tests.discovery.fake_docker import inspection
from tests.fakes.tasks import make_task

ID = "a" * 64


def who(labels: str, name: str = "shop-1") -> str:
    """Return namespace/app/task_name of a container with labels written ``key=value key=value``."""
    pairs = dict(pair.split("=", 1) for pair in labels.split())
    found = container_identity(ID, name, "shop:1", pairs, cluster="local", host="h")
    return f"{found.namespace}/{found.app}/{found.task_name}"


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        ("", "default/shop/shop-1"),
        ("taskscope.app=billing", "default/billing/shop-1"),
        ("taskscope.task_name=front taskscope.namespace=pay", "pay/shop/front"),
        (
            "com.docker.compose.project=blog com.docker.compose.service=web",
            "blog/web/shop-1",
        ),
        (
            "com.docker.stack.namespace=prod com.docker.swarm.service.name=prod_web",
            "prod/prod_web/shop-1",
        ),
        (
            "taskscope.app=mine com.docker.compose.project=blog com.docker.compose.service=web",
            "blog/mine/shop-1",
        ),
    ],
)
def test_identity(labels: str, want: str) -> None:
    """Taskscope's labels win over Compose and Swarm, those over the container's name."""
    assert who(labels) == want


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("shop", "shop"),
        ("shop-1", "shop"),
        ("shop_12", "shop"),
        ("blog-web-3", "blog-web"),
        ("web2", "web2"),
        ("-1", "-1"),
        ("job-20260101", "job-20260101"),  # a date is no replica number
        ("1", "1"),
    ],
)
def test_app_of_a_name(name: str, want: str) -> None:
    """The replica number goes, nothing else."""
    assert app_of_name(name) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("2026-01-01T00:00:01.25Z", 1_767_225_601_250),
        ("2026-01-01T00:00:01.123456789Z", 1_767_225_601_123),
        ("2026-01-01T01:00:01+01:00", 1_767_225_601_000),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-99-99T00:00:00Z", 0),
        ("", 0),
        (None, 0),
        (17, 0),
    ],
)
def test_times(text: object, want: int) -> None:
    """Docker's times become ms; its zero time and nonsense become 0."""
    assert parse_time_ms(text) == want


@pytest.mark.parametrize(
    ("path", "value", "field", "want"),
    [
        ("HostConfig.NetworkMode", "host", "address", "127.0.0.1"),
        ("HostConfig.NetworkMode", "container:abc", "network_of", "abc"),
        ("NetworkSettings.Networks", {}, "address", ""),
        (
            "NetworkSettings.Networks",
            {"b": {"IPAddress": ""}, "a": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}},
            "address",
            "fd00::2",
        ),
        ("HostConfig.NanoCpus", 1_500_000_000, "cpu_limit", 1.5),
        ("HostConfig.CpuQuota", 50_000, "cpu_limit", 0.5),
        ("HostConfig.Memory", 1 << 20, "memory_limit_bytes", 1 << 20),
        ("State.Health", {"Status": "unhealthy"}, "health", HealthStatus.UNHEALTHY),
        ("State.Health", {"Status": "none"}, "health", HealthStatus.UNKNOWN),
        ("Config.Labels", None, "labels", {}),
        ("LogPath", "", "log_path", ""),
        ("RestartCount", 3, "restart_count", 3),
    ],
)
def test_fields_of_an_inspection(path: str, value: object, field: str, want: object) -> None:
    """Each setting of Docker's ends in its field."""
    answer = inspection(ID)
    *parents, last = path.split(".")
    place: dict[str, Any] = answer
    for parent in parents:
        place = place[parent]
    place[last] = value

    assert getattr(parse_inspection(answer), field) == want


def test_start_to_come_is_not_counted() -> None:
    """While Docker waits to start a container again, its RestartCount is one ahead."""
    answer = inspection(ID, Status="restarting") | {"RestartCount": 3}

    assert parse_inspection(answer).restart_count == 2


def test_ports() -> None:
    """Each container port once, with its host port if it is published."""
    answer = inspection(ID)
    answer["Config"]["ExposedPorts"] = {"80/tcp": {}, "53/udp": {}, "9000/tcp": {}}
    answer["NetworkSettings"]["Ports"] = {
        "80/tcp": [{"HostPort": "8080"}, {"HostPort": "8080"}],
        "53/udp": None,
    }
    ports = parse_inspection(answer).ports

    assert [(p.container, p.host, p.protocol) for p in ports] == [
        (53, 0, "udp"),
        (80, 8080, "tcp"),
        (9000, 0, "tcp"),
    ]


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3),
        lambda below: st.dictionaries(
            st.sampled_from(["State", "Config", "HostConfig", "Health", "Labels", "Networks"]),
            below,
            max_size=4,
        ),
        max_leaves=8,
    ).filter(lambda value: isinstance(value, dict))
)
def test_odd_inspections_do_not_raise(answer: dict[str, Any]) -> None:
    """What is missing or of another shape is empty."""
    assert parse_inspection(answer).container_id == ""


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[1]", b"\xff", b'{"Actor": null}', b'{"Actor": {"ID": ""}}', b'{"Actor": 3}'],
)
def test_lines_that_are_no_events(line: bytes) -> None:
    """They are left out."""
    assert parse_event(line) is None


@pytest.mark.parametrize(
    ("content", "want"),
    [
        ("0::/docker/ID\n", "/docker/ID"),
        ("0::/system.slice/docker-ID.scope\n", "/system.slice/docker-ID.scope"),
        ("0::/docker/ID/init\n", "/docker/ID"),  # its first process moved into a child
        ("0::/kubepods/pod1/ID/ID/x\n", "/kubepods/pod1/ID"),
        ("5:memory:/docker/ID\n2:cpu,cpuacct:/other\n0::/\n", "/docker/ID"),
        ("2:cpu,cpuacct:/docker/ID\n0::/x\n", "/docker/ID"),
        ("0::/user.slice\n", "/user.slice"),
        ("0::/\n", ""),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_cgroup_of_a_process(tmp_path: Path, content: str, want: str) -> None:
    """The memory controller's on version 1 and on hybrid hosts, the unified one on version 2."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(content.replace("ID", ID))

    assert cgroup_path(7, tmp_path, within=ID) == want.replace("ID", ID)


@pytest.mark.parametrize(
    ("stat", "want"),
    [
        ("7 (sh) S " + " ".join(map(str, range(4, 53))), 22),
        ("7 (a) b) (c) S " + " ".join(map(str, range(4, 53))), 22),
        ("7 (sh) Z " + " ".join(map(str, range(4, 53))), 0),  # dead, not yet reaped
    ],
)
def test_start_of_a_process(tmp_path: Path, stat: str, want: int) -> None:
    """Field 22 of stat (proc(5)), whatever the program is called."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(stat)

    assert start_ticks(7, tmp_path) == want
    assert start_ticks(8, tmp_path) == 0


def test_exported_labels() -> None:
    """Only what is on the list, under names that a metric may have; the first of two that collide."""
    task = make_task(labels={"team": "blue", "app.kubernetes.io/name": "x", "a-b": "1", "a.b": "2"})

    assert exported_labels(task, ["app.kubernetes.io/name", "team", "none", "a.b", "a-b"]) == {
        "container_label_app_kubernetes_io_name": "x",
        "container_label_team": "blue",
        "container_label_a_b": "2",
    }
    assert exported_labels(task, []) == {}


class _Stream:
    """A stream that gives its bytes in pieces."""

    def __init__(self, data: bytes, size: int) -> None:
        self._pieces = [data[at : at + size] for at in range(0, len(data), size)]

    def read(self, size: int = 65536) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def set_timeout(self, seconds: float | None) -> None:
        """Take no notice."""


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300)), max_size=30),
    st.integers(1, 500),
)
def test_output_of_a_command(frames: list[tuple[int, bytes]], size: int) -> None:
    """However the stream is cut, the first 4 KiB of what the frames carry come out."""
    data = b"".join(
        bytes([channel, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for channel, text in frames
    )
    said = b"".join(text for _, text in frames)[:4096]

    assert read_output(_Stream(data, size), float("inf")) == said.decode(errors="replace")

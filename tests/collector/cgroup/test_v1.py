"""cgroup version 1: parsing, and live containers against the kernel's files and Docker's API."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.cgroup.locate import cgroup_of, is_unified
from collector.cgroup.network import parse_net_dev
from collector.cgroup.v1 import CgroupV1
from tests.needs import leave_out

FILES = {
    "cpuacct/cpuacct.usage": "12000000000\n",
    "cpuacct/cpuacct.stat": "user 700\nsystem 300\n",
    "cpu/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 2500000000\n",
    "cpu/cpu.cfs_quota_us": "50000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpu/cpu.shares": "512\n",
    "memory/memory.usage_in_bytes": "1000000\n",
    "memory/memory.max_usage_in_bytes": "2000000\n",
    "memory/memory.failcnt": "3\n",
    "memory/memory.stat": "cache 1\nrss 2\ntotal_cache 300\ntotal_rss 400\ntotal_swap 5\n"
    "total_mapped_file 6\ntotal_inactive_file 250000\ntotal_pgfault 7\ntotal_pgmajfault 8\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory/memory.limit_in_bytes": "4000000\n",
    "memory/memory.soft_limit_in_bytes": "9223372036854771712\n",
    "memory/memory.memsw.limit_in_bytes": "8000000\n",
    "pids/pids.current": "5\n",
    "pids/pids.max": "max\n",
    "pids/cgroup.procs": "11\n12\n13\n",
    "blkio/blkio.bfq.io_service_bytes_recursive": "Total 0\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:0 Total 300\nTotal 300\n",
    "blkio/blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\n8:16 Read 9\nTotal 12\n",
}


def tree(root: Path, files: dict[str, str]) -> CgroupV1:
    """Write a container's cgroup and return its reader."""
    for name, text in files.items():
        controller, _, file = name.partition("/")
        path = root / controller / "docker/x" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return CgroupV1(str(root), "/docker/x")


def test_every_figure_comes_from_its_file(tmp_path: Path) -> None:
    """Figures with cAdvisor's definitions: hierarchical sums, seconds, none as 0 or absent."""
    found = tree(tmp_path, FILES).read()

    assert found is not None
    assert found.row(1.5, 2.5) == [
        12.0, 7.0, 3.0, 10, 4, 2.5,
        1000000, 750000, 400, 300, 5, 6, 2000000, 3, 7, 8, 2,
        4000000, 0, 8000000, 50000, 100000, 512,
        3, 5, 0, None, 1.5, 2.5,
    ]  # fmt: skip
    # BFQ counted nothing, so the throttling layer speaks
    assert found.block_io == {"8:0": (100, 200, 1, 2), "8:16": (0, 0, 9, 0)}


@pytest.mark.parametrize("missing", sorted(FILES))
def test_any_file_may_be_missing(tmp_path: Path, missing: str) -> None:
    """A kernel without a file gives the other figures."""
    files = {name: text for name, text in FILES.items() if name != missing}

    found = tree(tmp_path, files).read()

    assert found is not None
    assert len([v for v in found.row(1.0, 1.0) if v is not None]) >= 15


@pytest.mark.parametrize("text", ["", "\0\xff garbage", "nan", "1 2 3\n4", "-"])
def test_garbage_in_a_file_is_no_error(tmp_path: Path, text: str) -> None:
    """Whatever a file says, a reading comes back or none."""
    reader = tree(tmp_path, dict.fromkeys(FILES, text))

    found = reader.read()

    assert found is None or len(found.row(None, 1.0)) == 29


def test_a_cgroup_that_is_gone_gives_nothing(tmp_path: Path) -> None:
    """A directory that is not there any more is no reading, not an error."""
    assert CgroupV1(str(tmp_path), "/docker/x").read() is None


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("4:memory:/docker/abc\n1:cpu:/docker/abc\n0::/\n", "/docker/abc"),
        ("0::/docker/abc/init\n", "/docker/abc"),
        ("0::/system.slice/docker-abc.scope\n", "/system.slice/docker-abc.scope"),
        ("0::/\n", ""),
        ("garbage", ""),
        ("", ""),
    ],
)
def test_a_containers_cgroup_is_named_by_its_id(text: str, want: str) -> None:
    """The container's own directory, also where its process sits below it."""
    assert cgroup_of(text.encode(), "abc") == want


def test_lines_of_net_dev_that_do_not_fit_are_left_out() -> None:
    """Headers, loopback, host ends and torn lines give no interface."""
    text = b"a\nb\n lo: 1 2 3 4 5 6 7 8 9 10 11 12\n eth0: 1 2 3 4 5 6 7 8 9 10 11 12 0\neth1: 1 2\nveth0: 1 2 3 4 5 6 7 8 9 10 11 12\n"

    assert parse_net_dev(text) == {"eth0": (1, 2, 3, 4, 9, 10, 11, 12)}


# ------------------------------------------------------------ live


def docker(*args: str) -> str:
    """Run the Docker command line."""
    done = subprocess.run(["docker", *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make an image of busybox alone; there is no registry."""
    busybox = next((p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p)), None)  # noqa: PTH110
    if shutil.which("docker") is None or busybox is None:
        leave_out("needs Docker and busybox")
    folder = tmp_path_factory.mktemp("image")
    (folder / "bin").mkdir()
    shutil.copy(busybox, folder / "bin/busybox")
    for applet in ("sh", "sleep", "dd", "cat"):
        (folder / "bin" / applet).symlink_to("busybox")
    name = f"collector-test/{uuid.uuid4().hex[:8]}:1"
    subprocess.run(f"tar -C {folder} -c . | docker import - {name}", shell=True, check=True)
    yield name
    docker("rmi", "-f", name)


@pytest.fixture
def container(image: str) -> Iterator[dict[str, Any]]:
    """Start a container that was busy, is throttled, and stands still now."""
    name = f"collector-test-{uuid.uuid4().hex[:8]}"
    script = (
        "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; cat /bin/busybox > /copy; sleep 600"
    )
    docker(
        "run", "-d", "--name", name, "--memory", "64m", "--cpus", "0.2", "--pids-limit", "40",
        "--cpu-shares", "512", image, "sh", "-c", script,
    )  # fmt: skip
    try:
        docker("exec", name, "sh", "-c", "while [ ! -s /copy ]; do sleep 0.1; done")
        docker("pause", name)
        yield json.loads(docker("inspect", name))[0]
    finally:
        docker("rm", "-f", name)


@pytest.mark.docker
@pytest.mark.skipif(is_unified("/sys/fs/cgroup"), reason="the host has cgroup v2 only")
def test_a_live_container_has_the_figures_of_kernel_and_api(container: dict[str, Any]) -> None:
    """For a paused container the kernel's files, Docker's stats API and our figures are the same."""
    import socket

    pid, container_id = container["State"]["Pid"], container["Id"]
    path = cgroup_of(Path(f"/proc/{pid}/cgroup").read_bytes(), container_id)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/var/run/docker.sock")
        url = f"/containers/{container_id}/stats?stream=false&one-shot=true"
        connection.sendall(f"GET {url} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    stats = json.loads(answer.partition(b"\r\n\r\n")[2])
    found = CgroupV1("/sys/fs/cgroup", path).read()
    assert found is not None
    cpu, memory = stats["cpu_stats"], stats["memory_stats"]

    def kernel(controller: str, name: str) -> float:
        return float(Path(f"/sys/fs/cgroup/{controller}{path}/{name}").read_text())

    assert found.cpu.usage == kernel("cpuacct", "cpuacct.usage") / 1e9
    assert found.cpu.usage == cpu["cpu_usage"]["total_usage"] / 1e9
    assert found.cpu.user == cpu["cpu_usage"]["usage_in_usermode"] / 1e9
    assert found.cpu.system == cpu["cpu_usage"]["usage_in_kernelmode"] / 1e9
    assert found.cpu.periods == cpu["throttling_data"]["periods"]
    assert found.cpu.throttled_periods == cpu["throttling_data"]["throttled_periods"]
    assert found.cpu.throttled_periods
    assert found.cpu.throttled_seconds == cpu["throttling_data"]["throttled_time"] / 1e9
    assert found.memory.usage == kernel("memory", "memory.usage_in_bytes") == memory["usage"]
    assert found.memory.max_usage == memory["max_usage"]
    stat = memory["stats"]
    assert found.memory.working_set == memory["usage"] - stat["total_inactive_file"]
    assert found.memory.rss == stat["total_rss"]
    assert found.memory.cache == stat["total_cache"]
    assert found.memory.mapped_file == stat["total_mapped_file"]
    assert found.spec.memory_limit == memory["limit"] == 64 << 20
    assert found.processes.threads == stats["pids_stats"]["current"]
    assert found.processes.threads_max == stats["pids_stats"]["limit"] == 40
    assert (found.spec.cpu_quota, found.spec.cpu_period) == (20000, 100000)
    assert found.spec.cpu_shares == 512
    assert found.memory.oom_events == 0

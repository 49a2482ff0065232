"""cgroup version 2 on directories recorded from real kernels with a real Docker."""

import json
from pathlib import Path
from typing import Any

import pytest

from collector.cgroup.locate import cgroup_of
from collector.cgroup.network import parse_net_dev
from collector.cgroup.reading import Reading
from collector.cgroup.v2 import CgroupV2

RECORDED = Path(__file__).parents[3] / "../shared/fixtures/cgroup2"
KERNELS = ["linux-6.12", "linux-6.1"]

pytestmark = pytest.mark.usefixtures("shared")


def read(kernel: str, name: str, below: str = "") -> Reading:
    """Read one recorded container."""
    found = CgroupV2(str(RECORDED / kernel / name / "cgroup"), below).read()
    assert found is not None
    return found


def api(kernel: str, name: str) -> Any:
    """Return what Docker's stats API said of it."""
    return json.loads((RECORDED / kernel / name / "stats-oneshot.json").read_text())


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_paused_container_has_the_figures_of_dockers_api(kernel: str) -> None:
    """While a container stands still, our figures and those of the stats API are the same to the last digit."""
    ours, stats = read(kernel, "busy-paused"), api(kernel, "busy-paused")
    cpu, memory = stats["cpu_stats"], stats["memory_stats"]

    assert ours.cpu.usage == cpu["cpu_usage"]["total_usage"] / 1e9
    assert ours.cpu.user == cpu["cpu_usage"]["usage_in_usermode"] / 1e9
    assert ours.cpu.system == cpu["cpu_usage"]["usage_in_kernelmode"] / 1e9
    assert ours.cpu.periods == cpu["throttling_data"]["periods"]
    assert ours.cpu.throttled_periods == cpu["throttling_data"]["throttled_periods"]
    assert ours.cpu.throttled_seconds == cpu["throttling_data"]["throttled_time"] / 1e9
    assert ours.memory.usage == memory["usage"]
    assert ours.memory.working_set == memory["usage"] - memory["stats"]["inactive_file"]
    assert ours.memory.rss == memory["stats"]["anon"]
    assert ours.memory.cache == memory["stats"]["file"]
    assert ours.memory.mapped_file == memory["stats"]["file_mapped"]
    assert ours.memory.pgfault == memory["stats"]["pgfault"]
    assert ours.memory.pgmajfault == memory["stats"]["pgmajfault"]
    assert ours.spec.memory_limit == memory["limit"]
    assert ours.processes.threads == stats["pids_stats"]["current"]
    assert ours.processes.threads_max == stats["pids_stats"]["limit"] == 50
    moved = {
        (f"{row['major']}:{row['minor']}", row["op"]): row["value"]
        for row in stats["blkio_stats"]["io_service_bytes_recursive"]
    }
    assert moved == {
        (device, op): values[column]
        for device, values in ours.block_io.items()
        for column, op in enumerate(("read", "write"))
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_network_counters_are_dockers(kernel: str) -> None:
    """/proc/<pid>/net/dev gives what the stats API says of networks; loopback is left out."""
    text = (RECORDED / kernel / "busy-paused/proc-pid-net-dev").read_bytes()
    networks = api(kernel, "busy-paused")["networks"]
    order = ("bytes", "packets", "errors", "dropped")

    assert parse_net_dev(text) == {
        name: tuple(float(counts[f"{way}_{what}"]) for way in ("rx", "tx") for what in order)
        for name, counts in networks.items()
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_limits_are_cadvisors(kernel: str) -> None:
    """Limits that were given on the command line; none is 0 for memory and absent for the CPU quota."""
    busy, plain = read(kernel, "busy-paused").spec, read(kernel, "plain").spec

    assert (busy.cpu_quota, busy.cpu_period) == (50000, 100000)
    assert busy.cpu_shares == 2 + (20 - 1) * 262142 // 9999  # --cpu-shares 512 is weight 20
    assert busy.memory_swap_limit == 0  # --memory-swap equal to --memory
    assert (plain.memory_limit, plain.cpu_quota, plain.cpu_period) == (0, None, 100000)
    assert read(kernel, "plain").processes.threads_max == 0
    assert read(kernel, "swap").spec.memory_swap_limit == 64 << 20
    assert (read(kernel, "swap").memory.swap or 0) > 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_container_without_a_quota_has_no_throttling_series(kernel: str) -> None:
    """As with cAdvisor: throttling figures only where there is a quota; no block I/O before the first."""
    row = read(kernel, "plain").row(None, 0.0)

    assert row[3:6] == [None, None, None]
    assert read(kernel, "plain").block_io == {}
    assert None not in read(kernel, "busy-paused").row(1.0, 0.0)[3:6]


@pytest.mark.parametrize("kernel", KERNELS)
def test_oom_kills_are_seen(kernel: str) -> None:
    """A process killed for want of memory counts, in the container's own group and below it."""
    assert read(kernel, "oom").memory.oom_events == 1
    assert read(kernel, "busy-paused").memory.oom_events == 0
    nested = read(kernel, "nested").memory.oom_events
    assert nested == read(kernel, "nested", "work/a").memory.oom_events
    assert nested is not None
    assert nested > 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_container_with_cgroups_of_its_own(kernel: str) -> None:
    """Its first process sits in a child; path and processes are still found."""
    folder = RECORDED / kernel / "nested"
    container_id = json.loads((folder / "inspect.json").read_text())
    container_id = (container_id[0] if isinstance(container_id, list) else container_id)["Id"]
    path = cgroup_of((folder / "proc-pid-cgroup").read_bytes(), container_id)

    assert (folder / "proc-pid-cgroup").read_bytes().strip().endswith(b"/init")
    assert path == f"/docker/{container_id}"
    processes = read(kernel, "nested").processes
    assert (folder / "cgroup/cgroup.procs").read_bytes() == b""
    assert processes.processes == processes.threads  # each has one thread
    assert processes.processes


def test_a_cgroup_that_is_gone_gives_nothing(tmp_path: Path) -> None:
    """A directory that is not there any more is no reading, not an error."""
    assert CgroupV2(str(tmp_path), "docker/x").read() is None

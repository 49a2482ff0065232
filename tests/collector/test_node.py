"""The host's figures, on a made-up host and on this one."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from collector.metrics import CollectorMetrics
from collector.node.source import NodeSeries
from model.catalog import CATALOG
from tests.collector.hosts import write

PROC = {
    "proc/stat": "cpu  9 9 9 9\ncpu0 100 200 300 400 5 6 7 8 0 0\ncpu1 1 2 3 4 5 6 7 8\nintr 12 0 0\nctxt 34\nbtime 1700000000\nprocesses 56\nprocs_running 2\nprocs_blocked 1\n",
    "proc/loadavg": "0.50 1.25 2.00 1/200 300\n",
    "proc/meminfo": "MemTotal:  1000 kB\nMemFree: 10 kB\nActive(file): 3 kB\nHugePages_Total: 4\nNonsense\n",
    "proc/vmstat": "nr_free_pages 1\noom_kill 3\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n",
    "proc/diskstats": "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 0 0 0 0\n   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11\n   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0\n 259 0 nvme0n1 1 0 0 0 0 0 0 0 0 0 0\n",
    "proc/1/net/dev": "h\nh\n  lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n  eth0: 10 20 30 40 0 0 0 0 50 60 70 80 0 0 0 0\nvethab: 1 1 1 1 0 0 0 0 1 1 1 1\n",
    "proc/1/mounts": "/dev/sda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\nsrv:/x /nfs nfs4 rw 0 0\n/dev/sdb1 /my\\040disk ext4 ro 0 0\noverlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\ntorn\n",
    "proc/sys/fs/file-nr": "1024\t0\t9999\n",
    "proc/sys/kernel/osrelease": "6.1.0\n",
    "proc/sys/kernel/ostype": "Linux\n",
    "sys/class/net/eth0/operstate": "up\n",
    "sys/class/net/eth0/mtu": "1500\n",
    "root/my disk/x": "",
}  # fmt: skip


def node(root: Path, registry: CollectorRegistry | None = None) -> NodeSeries:
    """Return the source over a made-up host."""
    return NodeSeries(
        CollectorMetrics(registry or CollectorRegistry()),
        cluster="c",
        host="h",
        proc_root=str(root / "proc"),
        sys_root=str(root / "sys"),
        rootfs=str(root / "root"),
    )


def values(source: NodeSeries) -> dict[str, float]:
    """Return values by name and own labels' values."""
    found = {}
    for block in source.collect(5000):
        for labels, value in zip(block.labels, block.values.tolist(), strict=True):
            own = [v for k, v in labels if k not in ("__name__", "cluster", "host")]
            found[" ".join([labels.get("__name__"), *own])] = value
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("node_time_seconds", 5.0),
        ("node_boot_time_seconds", 1_700_000_000),
        ("node_cpu_seconds_total 0 idle", 4.0),
        ("node_cpu_seconds_total 1 steal", 0.08),
        ("machine_cpu_cores", 2),
        ("node_context_switches_total", 34),
        ("node_intr_total", 12),
        ("node_procs_blocked", 1),
        ("node_load15", 2.0),
        ("node_memory_MemTotal_bytes", 1000 * 1024),
        ("node_memory_Active_file_bytes", 3 * 1024),
        ("machine_memory_bytes", 1000 * 1024),
        ("node_vmstat_oom_kill", 3),
        ("node_pressure_cpu_waiting_seconds_total", 1.5),
        ("node_pressure_io_stalled_seconds_total", 1.0),
        ("node_disk_read_bytes_total sda", 3 * 512),
        ("node_disk_written_bytes_total sda", 7 * 512),
        ("node_disk_io_time_seconds_total sda", 0.01),
        ("node_disk_reads_completed_total nvme0n1", 1),
        ("node_network_transmit_drop_total eth0", 80),
        ("node_network_receive_bytes_total lo", 1),
        ("node_network_up eth0", 1),
        ("node_network_mtu_bytes eth0", 1500),
        ("node_filesystem_readonly /dev/sdb1 ext4 /my disk", 1),
        ("node_filesystem_readonly /dev/sda1 ext4 /", 0),
        ("node_filefd_maximum", 9999),
        ("node_uname_info 6.1.0 Linux", 1),
    ],
)
def test_a_figure_of_a_known_host(tmp_path: Path, name: str, value: float) -> None:
    """The files of a made-up host give node_exporter's figures."""
    found = values(node(write(tmp_path, PROC)))

    assert found[name] == pytest.approx(value)


def test_what_is_no_disk_and_no_filesystem_of_the_host_is_left_out(tmp_path: Path) -> None:
    """Partitions, loop devices, host ends of containers, pseudo and network filesystems have no series."""
    found = " ".join(values(node(write(tmp_path, PROC))))

    assert not [w for w in ("loop0", "veth", "nfs", "overlay", " proc") if w in found]
    assert "node_disk_read_bytes_total sda1" not in found


def test_a_host_without_files_still_tells_the_time(tmp_path: Path) -> None:
    """Missing and torn files give fewer series, never an exception."""
    torn = {name: text[: len(text) // 2] for name, text in PROC.items() if name < "proc/p"}

    assert values(node(tmp_path)) == {"node_time_seconds": 5.0}
    assert len(values(node(write(tmp_path, torn)))) > 5


def test_a_file_of_nonsense_is_counted(tmp_path: Path) -> None:
    """A file whose numbers are none costs its area and is counted."""
    registry = CollectorRegistry()
    words = "8 0 sda a b c d e f g h i j k\n"
    source = node(write(tmp_path, {**PROC, "proc/diskstats": words}), registry)

    found = values(source)

    assert "node_load1" in found
    assert not any("disk" in name for name in found if name.startswith("node_disk"))
    failed = {"source": "node", "reason": "disk"}
    assert registry.get_sample_value("taskscope_collector_errors_total", failed) == 1


def test_this_host_has_what_dashboards_ask_for() -> None:
    """On a real host: catalogued names only, each series once, the same labels object twice."""
    source = NodeSeries(CollectorMetrics(CollectorRegistry()), cluster="c", host="h")
    first, second = (list(source.collect(1000)) for _ in range(2))
    labels = [one for block in first for one in block.labels]
    seen = {one.get("__name__") for one in labels}

    assert seen <= set(CATALOG)
    assert len(set(labels)) == len(labels)
    assert {
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_load1",
        "node_filesystem_avail_bytes",
        "node_network_receive_bytes_total",
        "node_boot_time_seconds",
    } <= seen
    assert [a.labels is b.labels for a, b in zip(first, second, strict=True)].count(True) >= 5

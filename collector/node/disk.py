"""Block devices of the host; kernel iostats.rst. Sectors are 512 bytes whatever the disk says."""

import re
from typing import Final

from collector.files import read_or_none
from collector.node.row import Row

# node_exporter's default: partitions and devices without a disk behind them are left out
_IGNORED: Final = re.compile(r"(?:z?ram|loop|fd|(?:h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+")
_SECTOR_BYTES: Final = 512.0
_FIELDS: Final = (
    ("node_disk_reads_completed_total", 3, 1.0),
    ("node_disk_reads_merged_total", 4, 1.0),
    ("node_disk_read_bytes_total", 5, _SECTOR_BYTES),
    ("node_disk_read_time_seconds_total", 6, 1e-3),
    ("node_disk_writes_completed_total", 7, 1.0),
    ("node_disk_writes_merged_total", 8, 1.0),
    ("node_disk_written_bytes_total", 9, _SECTOR_BYTES),
    ("node_disk_write_time_seconds_total", 10, 1e-3),
    ("node_disk_io_now", 11, 1.0),
    ("node_disk_io_time_seconds_total", 12, 1e-3),
    ("node_disk_io_time_weighted_seconds_total", 13, 1e-3),
)


def read_disks(proc: str) -> list[Row]:
    """Return the counters of each whole disk."""
    rows: list[Row] = []
    for line in (read_or_none(f"{proc}/diskstats") or b"").splitlines():
        words = line.split()
        if len(words) < 14:
            continue
        device = words[2].decode("utf-8", "replace")
        if _IGNORED.fullmatch(device):
            continue
        labels = (("device", device),)
        rows.extend((name, labels, float(words[at]) * unit) for name, at, unit in _FIELDS)
    return rows

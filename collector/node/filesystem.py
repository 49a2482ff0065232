"""Space on the host's filesystems; statvfs(3).

Network filesystems are left out: asking one whose server is away can block for minutes.
"""

import os
import re
from typing import Final

from collector.files import read_or_none
from collector.node.row import Row

# node_exporter's defaults
_IGNORED_TYPES: Final = re.compile(
    r"autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|hugetlbfs"
    r"|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs"
    r"|nfs\d?|cifs|smb3|smbfs|ncpfs|9p|afs|ceph|glusterfs|lustre|virtiofs|fuse\..+"
)
_IGNORED_MOUNTS: Final = re.compile(
    r"/(?:dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)(?:$|/.*)"
)
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def read_filesystems(proc: str, rootfs: str) -> list[Row]:
    """Return size and free space of each mount, once per device.

    Args:
        proc: Where the host's /proc is.
        rootfs: Where the host's / is.
    """
    text = read_or_none(f"{proc}/1/mounts") or read_or_none(f"{proc}/mounts") or b""
    rows: list[Row] = []
    seen: set[tuple[str, str]] = set()
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        words = line.split(" ")
        if len(words) < 4:
            continue
        device, mountpoint, fstype, options = (_unescaped(word) for word in words[:4])
        ignored = _IGNORED_TYPES.fullmatch(fstype) or _IGNORED_MOUNTS.fullmatch(mountpoint)
        if ignored or (device, mountpoint) in seen:
            continue
        seen.add((device, mountpoint))
        try:
            space = os.statvfs(rootfs.rstrip("/") + mountpoint)
        except OSError:  # mounted since, unmounted since, or hidden
            continue
        labels = tuple(
            (name, value.encode("utf-8", "replace").decode())
            for name, value in (("device", device), ("fstype", fstype), ("mountpoint", mountpoint))
        )
        unit = float(space.f_frsize)
        rows += [
            ("node_filesystem_size_bytes", labels, space.f_blocks * unit),
            ("node_filesystem_free_bytes", labels, space.f_bfree * unit),
            ("node_filesystem_avail_bytes", labels, space.f_bavail * unit),
            ("node_filesystem_files", labels, float(space.f_files)),
            ("node_filesystem_files_free", labels, float(space.f_ffree)),
            ("node_filesystem_readonly", labels, float("ro" in options.split(","))),
        ]
    return rows


def _unescaped(word: str) -> str:
    """Undo the octal escapes of spaces and the like; getmntent(3)."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), word)

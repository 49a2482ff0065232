"""Names of block devices by their numbers."""

from collector.files import read_or_none


class DeviceNames:
    """Looks names up in /sys/dev/block once each.

    Args:
        sys_root: Where /sys is.
    """

    def __init__(self, sys_root: str) -> None:
        self._sys = sys_root
        self._paths: dict[str, str] = {}

    def path(self, number: str) -> str:
        """Return ``/dev/sda`` for ``8:0``, "" if the kernel does not say."""
        known = self._paths.get(number)
        if known is None:
            text = read_or_none(f"{self._sys}/dev/block/{number}/uevent") or b""
            _, found, rest = text.partition(b"DEVNAME=")
            name = rest.split(b"\n", 1)[0].decode("utf-8", "replace")
            known = self._paths[number] = f"/dev/{name}" if found else ""
        return known

"""Network interfaces of the host, without the host's ends of containers (``veth*``)."""

from typing import Final

from collector.files import number, read_or_none
from collector.node.row import Row

_FIELDS: Final = (
    ("node_network_receive_bytes_total", 0),
    ("node_network_receive_packets_total", 1),
    ("node_network_receive_errs_total", 2),
    ("node_network_receive_drop_total", 3),
    ("node_network_transmit_bytes_total", 8),
    ("node_network_transmit_packets_total", 9),
    ("node_network_transmit_errs_total", 10),
    ("node_network_transmit_drop_total", 11),
)


def read_interfaces(proc: str, sys: str) -> list[Row]:
    """Return the counters of each interface, whether it is up, and its MTU."""
    text = read_or_none(f"{proc}/1/net/dev") or read_or_none(f"{proc}/net/dev") or b""
    rows: list[Row] = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(b":")
        columns = rest.split()
        device = name.strip().decode("utf-8", "replace")
        if len(columns) < 12 or device.startswith("veth"):
            continue
        labels = (("device", device),)
        rows.extend((metric, labels, number(columns[at]) or 0.0) for metric, at in _FIELDS)
        state = read_or_none(f"{sys}/class/net/{device}/operstate")
        if state is not None:
            rows.append(("node_network_up", labels, float(state.strip() == b"up")))
        mtu = number(read_or_none(f"{sys}/class/net/{device}/mtu"))
        if mtu is not None:
            rows.append(("node_network_mtu_bytes", labels, mtu))
    return rows

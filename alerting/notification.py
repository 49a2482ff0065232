"""What receivers are given, and the fingerprints that name alerts across restarts."""

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from msgspec import Struct

from model.alert import Alert, AlertState
from model.labels import Labels

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3


class Reason(Enum):
    """Why a notification goes out."""

    FIRST = "first notification"
    NEW_ALERTS = "new alerts in the group"
    RESOLVED = "alerts resolved"
    REPEAT = "repeat interval elapsed"


class Notification(Struct, frozen=True):
    """The alerts of one group on their way to one receiver.

    Attributes:
        receiver: Its name.
        group_key: Alertmanager's: the route, then the group's labels.
        group_labels: What the alerts were grouped by.
        alerts: Firing ones, then resolved ones, oldest first.
        reason: Why now.
        external_url: Where users reach Taskscope.
    """

    receiver: str
    group_key: str
    group_labels: Labels
    alerts: tuple[Alert, ...]
    reason: Reason
    external_url: str = ""

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that are firing."""
        return tuple(a for a in self.alerts if a.state is AlertState.FIRING)

    @property
    def resolved(self) -> tuple[Alert, ...]:
        """The alerts that are over."""
        return tuple(a for a in self.alerts if a.state is not AlertState.FIRING)

    @property
    def status(self) -> str:
        """``firing`` while any alert is."""
        return "firing" if self.firing else "resolved"

    @property
    def common_labels(self) -> Labels:
        """The labels that all alerts have alike."""
        return _common([a.labels for a in self.alerts])

    @property
    def common_annotations(self) -> Labels:
        """The annotations that all alerts have alike."""
        return _common([a.annotations for a in self.alerts])


def _common(sets: Sequence[Labels]) -> Labels:
    if not sets:
        return Labels()
    shared = set(sets[0]).intersection(*sets[1:])
    return Labels.of(shared)


@lru_cache(maxsize=16_384)
def fingerprint(labels: Labels) -> str:
    """Return Alertmanager's fingerprint: FNV-1a over names and values (prometheus/common model/signature.go)."""
    value = _FNV_OFFSET
    for pair in labels:
        for text in pair:
            for byte in text.encode():
                value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
            value = ((value ^ 0xFF) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"

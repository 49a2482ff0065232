"""The alerts of each rule group on disk, so that a restart goes on where the crash was."""

import hashlib
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from alerting import state_file
from model.alert import Alert, AlertState
from model.labels import Labels
from storage.files import sync_path

_log = logging.getLogger(__name__)
_KIND: Final = "taskscope-alerts"
_VERSION: Final = 1
_TIMES: Final = (
    "active_ms",
    "fired_ms",
    "resolved_ms",
    "keep_firing_since_ms",
    "last_sent_ms",
    "valid_until_ms",
)

AlertsByRule = Mapping[str, Collection[Alert]]


class AlertStore:
    """One file per rule group in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> None:
        """Make the directory.

        Raises:
            OSError: If that cannot be.
        """
        self._directory.mkdir(parents=True, exist_ok=True)

    def save(self, group: str, alerts: AlertsByRule) -> None:
        """Replace the state of one group; without alerts there is no file.

        Raises:
            OSError: If it cannot be written.
        """
        path = self._path(group)
        if not any(alerts.values()):
            if path.exists():
                path.unlink()
                sync_path(self._directory)
            return
        body = {
            "group": group,
            "rules": {rule: [_to_plain(a) for a in found] for rule, found in alerts.items()},
        }
        state_file.write(path, _KIND, _VERSION, msgspec.json.encode(body))

    def load_all(self) -> dict[str, dict[str, list[Alert]]]:
        """Return the alerts by group and rule of every readable file."""
        out: dict[str, dict[str, list[Alert]]] = {}
        for path in sorted(self._directory.glob("*.alerts")):
            body = state_file.read(path, _KIND, _VERSION)
            if body is None:
                continue
            plain = msgspec.json.decode(body)
            out[plain["group"]] = {
                rule: [_from_plain(a) for a in found] for rule, found in plain["rules"].items()
            }
        return out

    def _path(self, group: str) -> Path:
        return self._directory / f"{hashlib.sha256(group.encode()).hexdigest()[:24]}.alerts"


def _to_plain(alert: Alert) -> dict[str, Any]:
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        # as text, since JSON has no NaN and no infinities
        "value": repr(alert.value),
        "generator_url": alert.generator_url,
        **{name: getattr(alert, name) for name in _TIMES},
    }


def _from_plain(plain: Mapping[str, Any]) -> Alert:
    return Alert(
        labels=Labels.of(plain["labels"]),
        annotations=Labels.of(plain["annotations"]),
        state=AlertState(plain["state"]),
        value=float(plain["value"]),
        generator_url=plain["generator_url"],
        **{name: plain[name] for name in _TIMES},
    )

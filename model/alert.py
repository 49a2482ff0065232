"""Alerts as they pass from rules to receivers."""

from enum import Enum

from msgspec import Struct

from model.labels import Labels


class AlertState(Enum):
    """Prometheus's words."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


class Alert(Struct, frozen=True):
    """One alert of one rule at one moment. Times are ms since the epoch, 0 for never.

    Attributes:
        labels: With ``alertname``; equal labels are the same alert.
        annotations: Rendered texts (summary, description, runbook_url, ...).
        state: Where it stands.
        value: The expression's value at the last evaluation.
        active_ms: Since when the expression has held.
        fired_ms: When it went to firing.
        resolved_ms: When it stopped firing.
        keep_firing_since_ms: When the expression stopped holding while ``keep_firing_for`` runs.
        last_sent_ms: When it was last handed to notification.
        valid_until_ms: When receivers may take it for resolved if they hear nothing more.
        generator_url: Link to the expression.
    """

    labels: Labels
    annotations: Labels
    state: AlertState
    value: float
    active_ms: int
    fired_ms: int = 0
    resolved_ms: int = 0
    keep_firing_since_ms: int = 0
    last_sent_ms: int = 0
    valid_until_ms: int = 0
    generator_url: str = ""

"""The ``alerting`` section of the configuration."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from configfile.validate import Section

Seconds = Annotated[float, Field(gt=0)]


def _http(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("should start with http:// or https://")
    return url


SecretUrl = Annotated[SecretStr, AfterValidator(_http)]


class WebhookConfig(Section):
    """Posts Alertmanager's JSON to an address."""

    type: Literal["webhook"]
    url: SecretUrl
    name: str = "webhook"
    send_resolved: bool = True
    timeout_seconds: Seconds = 10.0
    max_alerts: Annotated[int, Field(ge=0)] = 0


class ConsoleConfig(Section):
    """Writes to the terminal Taskscope runs in."""

    type: Literal["console"]
    name: str = "console"
    send_resolved: bool = True


ReceiverConfig = Annotated[WebhookConfig | ConsoleConfig, Field(discriminator="type")]


def _names_once(receivers: tuple[ReceiverConfig, ...]) -> tuple[ReceiverConfig, ...]:
    names = [receiver.name for receiver in receivers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two receivers are named {name!r}; give each a name of its own")
    return receivers


class HeartbeatConfig(Section):
    """A sign of life that goes out only while samples are fresh and rules run on time."""

    url: SecretUrl | None = None
    interval_seconds: Seconds = 60.0
    max_sample_age_seconds: Seconds = 90.0


class AlertingConfig(Section):
    """Rules, notification timing (Alertmanager's words) and receivers."""

    rule_files: tuple[str, ...] = ()
    shipped_rules: bool = True
    external_url: str = ""
    evaluation_interval_seconds: Seconds = 15.0
    group_by: tuple[str, ...] = ("alertname", "app")
    group_wait_seconds: Annotated[float, Field(ge=0)] = 10.0
    group_interval_seconds: Seconds = 60.0
    repeat_interval_seconds: Seconds = 4 * 3600.0
    receivers: Annotated[tuple[ReceiverConfig, ...], AfterValidator(_names_once)] = (
        ConsoleConfig(type="console"),
    )
    heartbeat: HeartbeatConfig = HeartbeatConfig()

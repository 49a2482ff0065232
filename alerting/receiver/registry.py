"""From the configuration to receivers; a new kind of receiver is one module and one branch here."""

from collections.abc import Callable, Sequence

from alerting.config import ReceiverConfig, WebhookConfig
from alerting.receiver.base import Receiver
from alerting.receiver.console import ConsoleReceiver
from alerting.receiver.webhook import WebhookReceiver


def make_receivers(
    configs: Sequence[ReceiverConfig], write_line: Callable[[str], None]
) -> list[Receiver]:
    """Return the configured receivers; ``write_line`` is the console."""
    return [_make(config, write_line) for config in configs]


def _make(config: ReceiverConfig, write_line: Callable[[str], None]) -> Receiver:
    if isinstance(config, WebhookConfig):
        return WebhookReceiver(
            name=config.name,
            url=config.url.get_secret_value(),
            send_resolved=config.send_resolved,
            timeout_seconds=config.timeout_seconds,
            max_alerts=config.max_alerts,
        )
    return ConsoleReceiver(write_line, config.name, config.send_resolved)

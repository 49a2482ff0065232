"""The alerting section: defaults that work, secrets that stay secret, problems with places."""

import pytest

from alerting.config import AlertingConfig
from alerting.receiver.console import ConsoleReceiver
from alerting.receiver.registry import make_receivers
from alerting.receiver.webhook import WebhookReceiver
from configfile.document import parse
from configfile.validate import validate
from model.errors import ConfigError


def test_without_a_word_the_console_is_told() -> None:
    """And the shipped rules are on."""
    config = AlertingConfig()
    [console] = make_receivers(config.receivers, print)

    assert isinstance(console, ConsoleReceiver)
    assert config.shipped_rules
    assert (config.group_by, config.repeat_interval_seconds) == (("alertname", "app"), 14_400)


def test_receivers_are_made_as_configured() -> None:
    """And an address never shows."""
    text = """
receivers:
  - {type: webhook, name: chat, url: "https://chat/secret", max_alerts: 5, send_resolved: false}
  - {type: console}
heartbeat: {url: "https://beat/secret"}
"""
    config = validate(parse(text, "f"), AlertingConfig)
    chat, console = make_receivers(config.receivers, print)

    assert chat == WebhookReceiver("chat", "https://chat/secret", False, 10.0, 5)
    assert console.name == "console"
    assert "secret" not in repr(config) + repr(chat)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("receivers:\n  - {type: slack}", 2, "'slack'"),
        ("receivers:\n  - {type: webhook}", 2, "is missing"),
        ("receivers:\n  - type: webhook\n    url: chat", 3, "should start with http"),
        ("receivers:\n  - {type: console}\n  - {type: console}", 2, "two receivers are named"),
        ("group_wait: 10s", 1, "did you mean group_wait_seconds?"),
        ("repeat_interval_seconds: 0", 1, "greater than 0"),
    ],
)
def test_problems_have_places(text: str, line: int, message: str) -> None:
    """And say what would be right."""
    with pytest.raises(ConfigError) as caught:
        validate(parse(text, "f"), AlertingConfig)

    [problem] = caught.value.problems
    assert message in problem.message
    assert problem.line == line

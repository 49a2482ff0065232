"""What an operator may write under ``collector:`` and what is said of mistakes."""

from pathlib import Path

import pytest

from collector.config import CollectorConfig
from configfile.document import parse
from configfile.validate import validate
from model.errors import ConfigError

GOOD = """
interval_seconds: 5
scrape_configs:
- job_name: shop
  scrape_interval: 1m30s
  scrape_timeout: 500ms
  metrics_path: /m
  scheme: https
  params: {match: [a, b]}
  honor_labels: true
  basic_auth: {username: u, password_file: secret}
  tls_config: {ca_file: ca.pem}
  body_size_limit: 10MB
  sample_limit: 100
  static_configs:
  - targets: ['10.0.0.1:80', '[::1]:9100', example]
    labels: {zone: a}
  file_sd_configs:
  - files: [targets/*.json]
  relabel_configs:
  - {source_labels: [zone], regex: 'a|b', action: keep}
- job_name: plain
"""


def test_prometheus_words_are_understood() -> None:
    """A scrape_config in Prometheus's words becomes a job with its targets."""
    config = validate(parse(GOOD, "c.yml"), CollectorConfig)
    shop, plain = config.scrapes(Path("/etc/taskscope"))

    assert (shop.job.interval_seconds, shop.job.timeout_seconds) == (90.0, 0.5)
    assert shop.job.params == (("match", "a"), ("match", "b"))
    assert shop.job.credentials.secret_file == "/etc/taskscope/secret"
    assert shop.job.tls.ca_file == "/etc/taskscope/ca.pem"
    assert shop.job.body_size_limit_bytes == 10 * 1024**2
    found = [labels for d in shop.discoverers for labels in d.found()]
    assert found == [
        {"zone": "a", "__address__": address}
        for address in ("10.0.0.1:80", "[::1]:9100", "example")
    ]
    assert (plain.job.interval_seconds, plain.job.timeout_seconds) == (5.0, 5.0)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("job_nam: a", "2:3", "unknown key; did you mean job_name?"),
        ("job_name: a\n  scrape_interval: 5x", "3:20", "not a valid duration: '5x'; write a number and a unit, as 30s, 5m or 1h30m"),
        ("job_name: a\n  scrape_interval: 1s5m", "3:20", "not a valid duration: '1s5m'; write a number and a unit, as 30s, 5m or 1h30m"),
        ("job_name: a\n  scrape_interval: 1s\n  scrape_timeout: 2s", "2:3", "scrape_timeout is longer than scrape_interval"),
        ("job_name: a\n  body_size_limit: lots", "3:20", "'lots' is not a size; write 10MB"),
        ("job_name: a\n  static_configs: [{targets: ['a/b']}]", "3:30", "'a/b' is not an address; write host:port"),
        ("job_name: a\n  relabel_configs: [{regex: '(', target_label: x}]", "3:29", "is no valid RE2 pattern: missing ): ("),
        ("job_name: a\n  relabel_configs: [{action: replace}]", "3:21", "the action replace needs a target_label"),
        ("job_name: a\n  relabel_configs: [{action: hashmod, target_label: x}]", "3:21", "the action hashmod needs a modulus above zero"),
        ("job_name: a\n- job_name: a", "2:1", "the job_name a stands twice"),
        ("job_name: a\n  basic_auth: {}\n  authorization: {}", "2:3", "basic_auth and authorization exclude each other"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_place(text: str, place: str, message: str) -> None:
    """Each mistake in a scrape_config is answered with line, column and what would be right."""
    document = parse(f"scrape_configs:\n- {text}\n", "c.yml")

    with pytest.raises(ConfigError) as caught:
        validate(document, CollectorConfig)

    found = {(f"{p.line}:{p.column}", p.message) for p in caught.value.problems}
    assert (place, message) in found


def test_secrets_are_not_printed() -> None:
    """The representation of a section shows no password."""
    text = "scrape_configs: [{job_name: a, basic_auth: {username: u, password: hunter2}}]"
    config = validate(parse(text, "c.yml"), CollectorConfig)

    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(config.scrapes(Path())[0])
    assert config.scrapes(Path())[0].job.credentials.header() == "Basic dTpodW50ZXIy"

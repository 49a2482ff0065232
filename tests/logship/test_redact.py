"""Obvious secrets never leave memory, and what is none stays."""

import json

import pytest

from model.log import Flag
from tests.logship.harness import REDACTOR, parse, shown

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nq83h/tQ==\n-----END RSA PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    ("line", "secret", "rule"),
    [
        ("user=bob password=hunter22 x", "hunter22", "key_value"),
        ("DB_PASSWORD: hunter22", "hunter22", "key_value"),
        ("?token=abc123def&x=1", "abc123def", "key_value"),
        ("api_key='k-12345'", "k-12345", "key_value"),
        ('{"password":"hunter22","a":1}', "hunter22", "json_secret"),
        ('{"msg":"x","client_secret": "s3cr\\"et"}', "s3cr", "json_secret"),
        ('{"msg":"body {\\"apiKey\\": \\"abc123\\"}"}', "abc123", "json_secret"),
        ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE", "aws_access_key"),
        (f"push ghp_{'a1B2' * 9}", "a1B2a1B2", "github_token"),
        ("hook xoxb-123456789012-abcdefABCDEF", "123456789012", "slack_token"),
        (f"charge sk_live_{'x' * 24}", "xxxxxxxx", "stripe_key"),
        (f"sent {JWT}", "dozjgNry", "jwt"),
        ("Authorization: Bearer abcdef123456", "abcdef123456", "authorization"),
        ('{"authorization":"Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz", "authorization"),
        ("postgres://app:s3cret@db:5432/x", "s3cret", "url_password"),
        (KEY, "q83h/tQ==", "private_key"),
        (f"-----BEGIN x\n{KEY}\nafter", "MIIEpAIBAAKCAQEA7bq", "private_key"),
    ],
)
def test_secret_is_replaced(line: str, secret: str, rule: str) -> None:
    """The secret is gone, its rule is counted, the record is marked and its fields are still JSON."""
    parsed = parse(line + "\n")

    assert len(parsed.batches) == 1
    batch = parsed.batches[0]
    assert secret.encode() not in batch.buf
    assert parsed.tally.redactions.get(rule, 0) >= 1
    assert (batch.flags & Flag.REDACTED).any()
    for text in shown(parsed):
        fields = text.rsplit("|", 1)[1]
        assert not fields.startswith("{") or json.loads(fields)


@pytest.mark.parametrize(
    "line",
    [
        "the password was changed",
        "token expired; retry",
        "GET http://host:8080/path@x",
        "tokens: 12 secrets: none",
        '{"password":null,"token":""}',
        "AKIA is a prefix",
        "password=",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    """Prose about passwords is not touched."""
    assert REDACTOR.redact(line.encode()) is None


def test_neighbours_of_a_secret_are_whole() -> None:
    """Spans behind a replacement move with it; only the record that had the secret is marked."""
    parsed = parse("first\npassword=hunter22hunter22hunter22\nlast\n")

    assert shown(parsed) == ["-||first|", "-|redacted|password=[REDACTED:key_value]|", "-||last|"]


def test_an_unending_key_does_not_swallow_the_next_record() -> None:
    """A private key block that was cut off ends with its record."""
    parsed = parse('{"msg":"-----BEGIN PRIVATE KEY-----MIIE"}\n{"msg":"next"}\n')

    assert [text.split("|")[2] for text in shown(parsed)] == ["[REDACTED:private_key]", "next"]


def test_redacting_twice_changes_nothing() -> None:
    """The mark is no secret."""
    once = REDACTOR.redact(b"password=hunter22 token=abcdef")

    assert once is not None
    assert REDACTOR.redact(once.buf) is None

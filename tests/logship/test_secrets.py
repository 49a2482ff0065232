"""The redaction corpus: a secret of every kind, in every place it may stand, and what looks like one and is none."""

import json
import time
from typing import Any

import pytest

from logship.redact import Redactor
from logship.redact_rules import RULES, own_rule
from model.log import Flag
from tests.logship.harness import NOW_NS, ORIGIN, REDACTOR, parse, shown, wrap

from logship.parse.parser import Parser  # isort: skip

X = "Ab1" * 40  # letters and digits for the random part of a token
HEX = "0123456789abcdef" * 4
# rule -> secrets; put together here, so that no scanner of repositories takes them for real ones
SECRETS = {
    "private_key": ["AGE-SECRET-KEY-1" + "Q" * 58],
    "aws_access_key": ["AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + "IOSFODNN7EXAMPLE"],
    "google_api_key": ["AIza" + X[:35]],
    "google_oauth": ["ya29." + X[:40], "GOCSPX-" + X[:28]],
    "digitalocean_token": ["dop_v1_" + HEX],
    "alibaba_key": ["LTAI" + X[:16]],
    "github_token": ["ghp_" + X[:36], "github_pat_" + X[:60]],
    "gitlab_token": ["glpat-" + X[:20]],
    "npm_token": ["npm_" + X[:36]],
    "pypi_token": ["pypi-AgE" + X[:80]],
    "docker_token": ["dckr_pat_" + X[:27]],
    "slack_token": ["xoxb-123456789012-" + X[:24], "xapp-1-A012-345-" + HEX],
    "stripe_key": ["sk_live_" + X[:24], "whsec_" + X[:32]],
    "sendgrid_key": ["SG." + X[:22] + "." + X[:43]],
    "twilio_key": ["SK" + HEX[:32]],
    "mailgun_key": ["key-" + HEX[:32]],
    "square_token": ["sq0atp-" + X[:22]],
    "shopify_token": ["shpat_" + HEX[:32]],
    "openai_key": ["sk-proj-" + X[:30] + "T3BlbkFJ" + X[:30], "sk-ant-api03-" + X[:60]],
    "huggingface_token": ["hf_" + X[:34]],
    "databricks_token": ["dapi" + HEX[:32]],
    "vault_token": ["hvs." + X[:30]],
    "grafana_token": ["glsa_" + X[:32] + "_0a1b2c3d"],
    "atlassian_token": ["ATATT3" + X[:70]],
    "linear_key": ["lin_api_" + X[:40]],
    "newrelic_key": ["NRAK-" + "A1" * 13 + "B"],
    "telegram_token": ["123456789:AA" + X[:33]],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"],
    "card_number": ["4111111111111111", "5500 0055 5555 5559", "3782-822463-10005", "6011000990139424"],
}  # fmt: skip
PLACES = ["{}", "got {} from it", "key='{}'", "({})", '{{"msg":"x","v":"{}"}}', '{{"msg":"use {} now"}}', '{{"msg":"x","deep":{{"list":["{}"]}}}}', "2026-11-22 09:00:00 INFO [a] x.Y - it is {}", "https://host/path?x={}&y=1"]  # fmt: skip
IN_CONTEXT = [
    ("azure_key", "https://a.blob.core.windows.net/c?sv=2020&sig={}&se=2026", "ab%2Bcd" * 6),
    ("slack_webhook", "POST https://hooks.slack.com/services/{}", "T000/B000/" + X[:24]),
    ("discord_webhook", "https://discord.com/api/webhooks/123/{}", X[:68]),
    ("key_value", "AccountKey={};EndpointSuffix=x", "dGhpc2lz" * 8),
    ("key_value", "aws_secret_access_key = {}".replace(" = ", "="), X[:40]),
    ("key_value", "X-Api-Key: {}", X[:20]),
    ("option", "mysqldump --user root --password {} db", "hunter22"),
    ("option", "login -u bob --api-key {}", X[:20]),
    ("sql_password", "CREATE USER a IDENTIFIED BY '{}'", "hunter22"),
    ("cookie", "Cookie: session={}; a=b", X[:20]),
    ("cookie", '{{"headers":{{"Set-Cookie":"sid={}; Path=/"}}}}', X[:20]),
    ("authorization", "Authorization: Digest {}", X[:20]),
    ("json_secret", '{{"db":{{"password":"{}"}}}}', "hunter22"),
    ("url_password", "amqp://user:{}@mq:5672/", "hun/ter22".replace("/", "")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "secret"), [(rule, secret) for rule, secrets in SECRETS.items() for secret in secrets])  # fmt: skip
def test_no_secret_is_missed(rule: str, secret: str) -> None:
    """Wherever it stands, with and without Docker's wrapper, all of it goes and JSON stays JSON."""
    for place in PLACES:
        line = place.format(secret)
        for parsed in (parse(line + "\n"), parse(wrap(line + "\n"), wrapping="json-file")):
            (batch,) = parsed.batches
            assert secret.encode() not in batch.buf, place
            assert sum(parsed.tally.redactions.values()) == 1, (place, parsed.tally)
            assert batch.flags[0] & Flag.REDACTED
            json.loads(batch.buf[batch.fields.starts[0] : batch.fields.ends[0]] or b"{}")
    assert parse(f"it is {secret} there\n").tally.redactions == {rule: 1}


@pytest.mark.parametrize(("rule", "line", "secret"), IN_CONTEXT)
def test_what_stands_beside_makes_a_secret(rule: str, line: str, secret: str) -> None:
    """Passwords have no form of their own."""
    parsed = parse(line.format(secret) + "\n")

    assert secret.encode() not in parsed.batches[0].buf
    assert set(parsed.tally.redactions) == {rule}  # twice where the whole line is the message


@pytest.mark.parametrize("line", [
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "trace 0af7651916cd43dd8448eb211c80319c span b7ad6b7169203331",
    "id 550e8400-e29b-41d4-a716-446655440000",
    "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "order 4111111111111112 shipped",
    "took 0.4111111111111111 s",
    "at 1795341600123456789 and 1795341600123456",
    "version 4.1111.1111.1111.1111",
    "2026-11-22T10:00:00.123456789Z ok",
    "ip 10.0.0.1:5432 port 6011",
    "GET https://user@host/path 200",
    "GET http://[::1]:8080/a@b",
    "the secret of success; password policy: see wiki",
    "Token bucket is empty",
    "tokens=12 max_tokens: 4096",
    "bearer of bad news",
    "public key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA",
    "-----BEGIN CERTIFICATE----- MIID",
    "key-value store",
    "run with --password-file /run/secrets/db",
    "usage: --token TOK",
    "cookie jar is full; cookie: none",
    '{"card":"4111111111111112","n":4111111111111112}',
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI",
    "com.example.SecretKeyFactory - handled",
    "eyJ is how it starts",
    "AKIA1234 is too short",
])  # fmt: skip
def test_no_false_hits(line: str) -> None:
    """Ids, hashes, numbers and prose stay."""
    assert REDACTOR.redact(line.encode()) is None


KEY_LINES = ["-----BEGIN RSA PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0A", "", "MIIEpAIBAAKCAQEA7bqAbCdEf0123456789+/AbCdEf0123456789AbCdEf01234", "q83h0123456789/tQ==", "-----END RSA PRIVATE KEY-----"]  # fmt: skip


@pytest.mark.parametrize(
    "how", ["raw", "json-file", "a record each", "with a head on each line", "in JSON"]
)
def test_private_key_over_several_lines(how: str) -> None:
    """However its lines come, none of its body is left."""
    form: dict[str, Any] = {}
    text = "".join(f"{line}\n" for line in ["before", *KEY_LINES, "after"])
    if how == "json-file":
        text = "".join(wrap(f"{line}\n") for line in ["before", *KEY_LINES, "after"])
        form = {"wrapping": "json-file"}
    elif how == "a record each":
        form = {"multiline": False}
    elif how == "with a head on each line":
        text = "".join(f"2026-11-22 09:00:00 INFO [a] x.Y - {line}\n" for line in KEY_LINES if line)
    elif how == "in JSON":
        text = json.dumps({"msg": "x", "key": "\n".join(KEY_LINES)}) + "\n"

    parsed = parse(text, **form)

    whole = b"".join(batch.buf for batch in parsed.batches)
    assert b"MIIEpAIB" not in whole
    assert b"q83h" not in whole
    assert parsed.tally.redactions["private_key"] >= 1


def test_own_rules_and_rules_that_are_off() -> None:
    """Own patterns go first, with or without a group; a built-in rule may be left out."""
    redactor = Redactor(
        {"iban": own_rule(r"\bDE\d{20}\b"), "customer": own_rule(r"customer=(\d+)")},
        disable=["card_number"],
    )

    found = redactor.redact(
        b"DE12345678901234567890 customer=42 card 4111111111111111 password=hunter22"
    )

    assert found is not None
    assert (
        found.buf
        == b"[REDACTED:iban] customer=[REDACTED:customer] card 4111111111111111 password=[REDACTED:key_value]"
    )
    assert found.counts == {"iban": 1, "customer": 1, "key_value": 1}


def test_a_greedy_own_rule_ends_with_its_record_and_leaves_json() -> None:
    """It swallows neither the next record nor the braces of its own."""
    parser = Parser(Redactor({"greedy": own_rule(r"pin[^z]*")}))
    lines = '{"msg":"a","note":"pin 1234","n":1}\n{"msg":"password=hunter22","n":2}\nthe pin 99\nplain password=hunter22\n'

    parsed = parser.parse(lines.encode(), 0, ORIGIN, NOW_NS, closing=True)

    assert shown(parsed) == [
        '-|redacted|a|{"text":"{\\"note\\":\\"[REDACTED:greedy]"}',
        '-|redacted|password=[REDACTED:key_value]|{"n":2}',
        "-|redacted|the [REDACTED:greedy]|",
        "-|redacted|plain password=[REDACTED:key_value]|",
    ]


def test_a_number_that_is_a_card_becomes_a_text() -> None:
    """A mark where JSON has a number is put in quotes."""
    assert shown(parse('{"msg":"x","card":4111111111111111,"n":1}\n')) == [
        '-|redacted|x|{"card":"[REDACTED:card_number]","n":1}'
    ]


@pytest.mark.parametrize(("pattern", "message"), [
    ("(", "is no valid RE2 pattern"),
    ("(a)(b)", "has 2 groups"),
    ("x*", "matches the empty text"),
    (r"(?<=a)b", "is no valid RE2 pattern"),
])  # fmt: skip
def test_own_rules_that_cannot_be(pattern: str, message: str) -> None:
    """They are refused with what would be right."""
    with pytest.raises(ValueError, match=r".") as error:
        own_rule(pattern)

    assert message in str(error.value)


def test_time_is_linear() -> None:
    """Lines made to be slow take as long per byte as any other."""
    nasty = [b"a" * 400_000, b"password=" * 40_000, b"://:" * 100_000, b"-----BEGIN PRIVATE KEY-----" * 15_000, b'"password":"\\"' * 30_000, b"4" * 400_000, b"eyJ" * 130_000, b"\0-----BEGIN PRIVATE KEY-----\0" + b"A" * 64 * 6_000]  # fmt: skip
    for text in nasty:
        started = time.process_time()
        REDACTOR.redact(text)
        assert time.process_time() - started < 2.0, text[:20]


def test_every_rule_has_a_secret_in_the_corpus() -> None:
    """So that none is there untested."""
    assert {*SECRETS, *(rule for rule, _, _ in IN_CONTEXT)} == set(RULES)

"""What an operator may say about the lines themselves."""

import pytest

from configfile.document import parse
from configfile.validate import validate
from logship.config import LogshipConfig
from model.errors import ConfigError
from model.log import Level
from tests.fakes.tasks import SHOP

WHOLE = r"""
redaction:
  rules: {iban: '\bDE\d{20}\b'}
  disable: [card_number]
formats:
  - {match: {app: 'leg*'}, format: nginx}
  - {format: log4j, multiline: false}
limits:
  - {match: {app: shop}, lines_per_second: 100, burst: 500, sample: 0.5, keep_level: error}
metrics:
  - {name: logins_total, type: counter, pattern: 'user (?P<who>\w+) logged in', labels: {user: who}}
  - {name: took_seconds, type: histogram, levels: [info], value: took, buckets: [0.1, 1]}
fields: {duration_ms: double, http.status: long}
"""


def test_all_of_it() -> None:
    """It becomes what the heart takes."""
    config = validate(parse(WHOLE, "x.yml"), LogshipConfig)
    policy = config.policy()

    assert policy.parsing(SHOP, "auto", multiline=True) == ("pattern", False)
    assert policy.parsing(SHOP, "json", multiline=False) == ("json", False)
    (limit,) = policy.limits
    assert (limit.lines_per_second, limit.burst, limit.sample, limit.keep_level) == (
        100,
        500,
        0.5,
        Level.ERROR,
    )
    assert [metric.name for metric in policy.metrics] == ["logins_total", "took_seconds"]
    assert policy.document_types() == {
        "numeric.duration_ms": "double",
        "numeric.http.status": "long",
    }
    found = config.redaction.built().redact(b"DE12345678901234567890 4111111111111111")
    assert found is not None
    assert found.counts == {"iban": 1}


@pytest.mark.parametrize(("text", "message"), [
    ("redaction: {rules: {iban: '('}}", "iban: '(' is no valid RE2 pattern"),
    ("redaction: {rules: {Iban: 'x'}}", "'Iban' is no name of a rule"),
    ("redaction: {rules: {x: 'a*'}}", "matches the empty text"),
    ("redaction: {disable: [card]}", "'card' is no built-in rule; these are: private_key"),
    ("formats: [{format: xml}]", "'xml' is no format; it is one of access"),
    ("formats: [{match: {ap: x}}]", "did you mean app?"),
    ("limits: [{burst: 5}]", "burst needs lines_per_second"),
    ("limits: [{sample: 0}]", "greater than 0"),
    ("limits: [{lines_per_second: 5, burst: 1}]", "burst must be at least lines_per_second"),
    ("metrics: [{name: x, type: counter}]", "a counter's name ends in _total: x_total"),
    ("metrics: [{name: log_lines_total, type: counter}]", "is a metric of Taskscope's own"),
    ("metrics: [{name: x, type: histogram}]", "a histogram needs value"),
    ("metrics: [{name: x_total, type: counter, labels: {app: a}}]", "is a label that every task's series have"),
    ("metrics: [{name: x_total, type: counter, pattern: '('}]", "is no valid RE2 pattern"),
    ("metrics: [{name: x, type: histogram, value: v, buckets: [2, 1]}]", "must be numbers that rise"),
    ("fields: {duration_ms: text}", "should be 'long'"),
])  # fmt: skip
def test_what_cannot_be_is_said(text: str, message: str) -> None:
    """With a sentence that says what would be right."""
    with pytest.raises(ConfigError) as error:
        validate(parse(text, "x.yml"), LogshipConfig)

    assert message in str(error.value)

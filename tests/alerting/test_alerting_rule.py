"""The state machine of alerts, in a small notation."""

import pytest

from alerting.alerting_rule import RuleError, TemplateContext, step, to_send
from model.alert import Alert, AlertState
from model.labels import Labels
from tests.alerting.helpers import T0, alerting_rule, vector, words

CONTEXT = TemplateContext("http://here", {"cluster": "prod"})


def history(text: str, *, for_seconds: float, keep_seconds: float) -> str:
    """Run evaluations ``<second><+ or ->`` (+: the expression holds); return the states, one letter each."""
    rule = alerting_rule(for_seconds=for_seconds, keep_seconds=keep_seconds)
    alerts: dict[Labels, Alert] = {}
    out = ""
    for word in text.split():
        now = T0 + int(word[:-1]) * 1000
        alerts = step(rule, alerts, words("a" if word[-1] == "+" else ""), now, CONTEXT)
        one = next(iter(alerts.values()), None)
        if one is None:
            out += "."
        elif one.keep_firing_since_ms:
            out += "k"
        else:
            out += one.state.value[0]
    return out


@pytest.mark.parametrize(
    ("for_seconds", "keep_seconds", "evaluations", "want"),
    [
        (0, 0, "0+ 15+ 30-", "ffi"),  # without `for` it fires at once
        (30, 0, "0+ 15+ 30+ 45+", "ppff"),
        (30, 0, "0+ 15- 30+ 45+ 60+", "p.ppf"),  # a gap starts the wait again
        (10, 0, "0+ 15+", "pf"),  # `for` below the interval
        (0, 0, "0+ 15- 30+", "fif"),  # again at once
        (30, 0, "0+ 30+ 45- 60+ 90+", "pfipf"),  # a resolved alert waits anew
        (0, 30, "0+ 15- 30- 45-", "fkki"),
        (0, 30, "0+ 15- 30+ 45- 60- 75-", "fkfkki"),  # what comes back starts the keeping again
        (60, 30, "0+ 15-", "p."),  # pending is not kept
        (0, 0, "0+ 15- 900- 915- 930-", "fiii."),  # 15 min after the end it is forgotten
    ],
)
def test_history_gives_states(
    for_seconds: float, keep_seconds: float, evaluations: str, want: str
) -> None:
    """Letters: p pending, f firing, k kept firing, i inactive (resolved), . not there."""
    assert history(evaluations, for_seconds=for_seconds, keep_seconds=keep_seconds) == want


def test_labels_and_annotations_are_filled_in() -> None:
    """The rule's labels win over the result's, the metric name goes, alertname comes."""
    rule = alerting_rule(
        labels={"severity": "page", "where": "{{ $labels.app }}/{{ $externalLabels.cluster }}"},
        annotations={"summary": "{{ $labels.app }} at {{ $value | humanizePercentage }}"},
    )

    alerts = step(rule, {}, vector(({"__name__": "up", "app": "shop"}, 0.25)), T0, CONTEXT)

    [alert] = alerts.values()
    assert dict(alert.labels) == {
        "alertname": "Broken",
        "app": "shop",
        "severity": "page",
        "where": "shop/prod",
    }
    assert alert.annotations.get("summary") == "shop at 25%"


def test_a_failing_template_does_not_stop_the_alert() -> None:
    """The error stands where the text would."""
    rule = alerting_rule(annotations={"summary": "{{ $labels.app | humanize }}", "other": "fine"})

    alerts = step(rule, {}, vector(({"app": "shop"}, 1.0)), T0, CONTEXT)

    [alert] = alerts.values()
    assert alert.state is AlertState.FIRING
    assert alert.annotations.get("summary").startswith(
        "<error expanding template: error calling humanize:"
    )
    assert alert.annotations.get("other") == "fine"


def test_two_results_with_one_label_set_are_an_error() -> None:
    """After the rule's labels replaced what told the results apart."""
    rule = alerting_rule(labels={"x": "same"})

    with pytest.raises(RuleError, match="same labelset"):
        step(rule, {}, words("a b"), T0, CONTEXT)


def test_over_the_limit_the_rule_fails() -> None:
    """Limit counts pending and firing alerts, not resolved ones."""
    rule = alerting_rule()
    before = step(rule, {}, words("a b"), T0, CONTEXT, limit=2)

    after = step(rule, before, words("b c"), T0 + 15_000, CONTEXT, limit=2)

    assert sorted(a.state.value for a in after.values()) == ["firing", "firing", "inactive"]
    with pytest.raises(RuleError, match="exceeded limit of 2 with 3 alerts"):
        step(rule, before, words("a b c"), T0, CONTEXT, limit=2)


def test_the_value_follows_and_the_time_stays() -> None:
    """An alert that goes on takes the new value and annotations but keeps since when it is active."""
    rule = alerting_rule(annotations={"summary": "{{ $value }}"})
    before = step(rule, {}, vector(({"x": "a"}, 1.0)), T0, CONTEXT)

    after = step(rule, before, vector(({"x": "a"}, 2.5)), T0 + 15_000, CONTEXT)

    [alert] = after.values()
    assert (alert.value, alert.active_ms, alert.fired_ms) == (2.5, T0, T0)
    assert alert.annotations.get("summary") == "2.5"


def test_firing_is_sent_again_each_minute_and_resolved_for_a_quarter_of_an_hour() -> None:
    """Sent at the first evaluation more than a minute after the last sending; never while pending."""
    rule = alerting_rule(for_seconds=15)
    alerts: dict[Labels, Alert] = {}
    sent_at = []
    for second in range(0, 1200, 15):
        now = T0 + second * 1000
        alerts = step(rule, alerts, words("a" if second <= 120 else ""), now, CONTEXT)
        alerts, sent = to_send(alerts, now, 15_000, 60_000)
        sent_at += [(second, a.state.value) for a in sent]
        assert all(a.valid_until_ms == now + 240_000 for a in sent)

    assert sent_at[:3] == [(15, "firing"), (90, "firing"), (135, "inactive")]
    assert sent_at[3:5] == [(210, "inactive"), (285, "inactive")]
    assert sent_at[-1] == (1035, "inactive")
    assert alerts == {}

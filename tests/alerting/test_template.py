"""Templates: what is filled in, what is refused and where."""

from typing import Any

import pytest

from alerting.template import RenderError, TemplateError, parse

LABELS = {"app": "shop", "instance": "10.0.0.1:8080"}


def render(text: str, value: float = 0.0) -> str:
    """Fill a template in as a rule would."""
    dot: dict[str, Any] = {
        "Labels": LABELS,
        "Value": value,
        "ExternalURL": "http://here",
        "ExternalLabels": {},
    }
    variables = {
        "labels": LABELS,
        "value": value,
        "externalURL": "http://here",
        "externalLabels": {},
    }
    return parse(text, variables).render(dot, variables)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("plain { text }", "plain { text }"),
        ("{{ $labels.app }}", "shop"),
        ("{{$labels.app}}/{{ .Labels.app }}", "shop/shop"),
        ("{{ $labels.none }}.", "."),
        ('{{ index $labels "app" }}', "shop"),
        ("a {{- /* gone */ -}} b", "ab"),
        ("a {{- $labels.app -}} b", "ashopb"),
        ('{{ printf "%.2f%%" $value }}', "1234.57%"),
        ('{{ $value | printf "%.1f" }}', "1234.6"),
        ('{{ printf "%s is %5.1f" $labels.app $value }}', "shop is 1234.6"),
        ('{{ printf "%d" $value }}', "%!d(float64=1234.567)"),
        ('{{ printf "%s %s" "a" }}', "a %!s(MISSING)"),
        ('{{ printf "%-6s|%q" "ab" "x" }}', 'ab    |"x"'),
        ("{{ $value | humanize }}", "1.235k"),
        ("{{ if gt $value 1000.0 }}high{{ else }}low{{ end }}", "high"),
        ("{{ if eq $labels.app `x` }}x{{ else if $labels.app }}y{{ else }}z{{ end }}", "y"),
        ('{{ if and $labels.app (eq "a" "b") }}1{{ end }}2', "2"),
        ('{{ $x := "v" }}{{ $x | toUpper }}', "V"),
        ('{{ $x := "v" }}{{ if true }}{{ $x = "w" }}{{ end }}{{ $x }}', "w"),
        ("{{ $labels.instance | stripPort }}", "10.0.0.1"),
        ('{{ reReplaceAll "(\\\\w+):(\\\\d+)" "$2:$1" "a:1" }}', "1:a"),
        ('{{ match "^sh" $labels.app }}', "true"),
        ('{{ urlquery "a b&c" }}', "a+b%26c"),
        ('{{ stripPort "[::1]:80" }} {{ stripPort "::1" }} {{ stripPort "h" }}', "::1 ::1 h"),
        ('{{ stripDomain "a.b.c:80" }} {{ stripDomain "a.b" }}', "a:80 a"),
        ('{{ stripDomain "1.2.3.4:80" }} {{ stripDomain "[::1]:80" }}', "1.2.3.4:80 [::1]:80"),
        ("{{ $externalURL }}/x", "http://here/x"),
        ("{{ len $labels.app }}", "4"),
        ("{{ title `big shop` }}", "Big Shop"),
    ],
)
def test_a_template_is_filled_in(text: str, want: str) -> None:
    """Results are Go's."""
    assert render(text, 1234.567) == want


@pytest.mark.parametrize(
    ("function", "value", "want"),
    [
        ("humanize", 0.0, "0"),
        ("humanize", 1_234_567.0, "1.235M"),
        ("humanize", 0.001234, "1.234m"),
        ("humanize", float("inf"), "+Inf"),
        ("humanize", float("nan"), "NaN"),
        ("humanize1024", 1_048_576.0, "1Mi"),
        ("humanize1024", 0.5, "0.5"),
        ("humanizeDuration", 0.0, "0s"),
        ("humanizeDuration", 0.02, "20ms"),
        ("humanizeDuration", 12.3456, "12.35s"),
        ("humanizeDuration", 90.0, "1m 30s"),
        ("humanizeDuration", 3661.0, "1h 1m 1s"),
        ("humanizeDuration", -90_061.0, "-1d 1h 1m 1s"),
        ("humanizePercentage", 0.256789, "25.68%"),
        ("humanizeTimestamp", 1_435_065_584.128, "2015-06-23 13:19:44.128 +0000 UTC"),
        ("print", 1_000_000.0, "1e+06"),
        ("print", 1_234_567.0, "1.234567e+06"),
        ("print", 100_000.0, "100000"),
        ("print", 0.1, "0.1"),
        ("print", 0.00001, "1e-05"),
        ("print", -2.5, "-2.5"),
    ],
)
def test_numbers_for_people(function: str, value: float, want: str) -> None:
    """As Prometheus and Go print them."""
    assert render("{{ $value | " + function + " }}", value) == want


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("ab {{ $labels.app", 3, "unclosed action"),
        ("{{ $nope }}", 3, "undefined variable"),
        ("{{ nope $value }}", 3, "function 'nope' is not defined"),
        ("{{ range $labels }}{{ end }}", 3, "range is not supported"),
        ("{{ if $value }}x", 3, "no {{ end }}"),
        ("x {{ end }}", 5, "no open if"),
        ("{{ $value | $value }}", 10, "only be piped into a function"),
        ("{{ 'x' }}", 3, "use double quotes"),
        ("{{ $value 3 }}", 10, "only a function takes arguments"),
        ("{{ }}", 3, "expected a value"),
        ("{{ (print 1 }}", 3, "unclosed ("),
        ("{{ if }}{{ end }}", 6, "expected a value"),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", 23, "second else"),
    ],
)
def test_a_bad_template_is_refused_with_its_place(text: str, offset: int, message: str) -> None:
    """When it is loaded, not when it is needed."""
    with pytest.raises(TemplateError) as caught:
        parse(text, ["labels", "value"])

    assert message in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "text",
    [
        "{{ $labels.app | humanize }}",
        "{{ $value.app }}",
        "{{ printf }}",
        "{{ lt $labels.app 1.0 }}",
        '{{ match "(" $labels.app }}',
        '{{ reReplaceAll "(" "" $labels.app }}',
    ],
)
def test_what_cannot_be_filled_in_says_so(text: str) -> None:
    """One kind of exception for all of it."""
    with pytest.raises(RenderError):
        render(text)

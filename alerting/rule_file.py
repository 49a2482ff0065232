"""Rule files, in Prometheus's format: from what an operator wrote to groups, or to all its problems.

https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from alerting import template
from alerting.place import in_value
from alerting.rule import AlertingRule, ExpressionParser, RecordingRule, Rule, RuleGroup
from configfile.document import Document, KeyPath, load
from configfile.duration import parse_duration
from configfile.validate import Section, problems
from model.errors import ConfigError, ParseError, Problem

TEMPLATE_VARIABLES: Final = ("labels", "externalLabels", "externalURL", "value")

Duration = Annotated[int, BeforeValidator(parse_duration)]


def _text(value: Any) -> str:
    """Take what YAML reads as a number for text, as Prometheus does (``expr: 1``, ``severity: 3``)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("should be text")


def _label_name(name: str) -> str:
    if name == "__name__" or not name:
        raise ValueError(f"{name!r} is not a valid label name here")
    return name


Text = Annotated[str, BeforeValidator(_text)]
LabelName = Annotated[str, AfterValidator(_label_name)]


class RuleSection(Section):
    """One rule as written."""

    record: str = ""
    alert: Text = ""
    expr: Annotated[Text, Field(min_length=1)]
    for_: Annotated[Duration, Field(alias="for")] = 0
    keep_firing_for: Duration = 0
    labels: dict[LabelName, Text] = Field(default_factory=dict)
    annotations: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> "RuleSection":
        if bool(self.record) == bool(self.alert):
            raise ValueError("a rule has exactly one of record and alert")
        if self.record:
            for name in ("for_", "keep_firing_for", "annotations"):
                if name in self.model_fields_set:
                    raise ValueError(
                        f"{name.rstrip('_')} has no meaning in a recording rule; remove it"
                    )
            if any(c in self.record for c in "{}\"' \n"):
                raise ValueError(f"invalid recording rule name: {self.record!r}")
        return self


class GroupSection(Section):
    """One group as written."""

    name: Annotated[Text, Field(min_length=1)]
    interval: Duration = 0
    limit: Annotated[int, Field(ge=0)] = 0
    query_offset: Duration = 0
    labels: dict[LabelName, Text] = Field(default_factory=dict)
    rules: tuple[RuleSection, ...] = ()


class RuleFileSection(Section):
    """A whole rule file."""

    groups: tuple[GroupSection, ...] = ()


class RuleFile(Struct, frozen=True):
    """A judged rule file; ``problems`` are all there are, ``groups`` is empty if there are any."""

    groups: tuple[RuleGroup, ...]
    problems: tuple[Problem, ...]


def read(
    path: Path | str,
    parse_expression: ExpressionParser,
    default_interval_ms: int,
) -> RuleFile:
    """Read and judge one rule file."""
    try:
        document = load(path)
    except ConfigError as error:
        return RuleFile((), error.problems)
    return judge(document, _lines(path), parse_expression, default_interval_ms)


def _lines(path: Path | str) -> Callable[[], str]:
    return lambda: Path(path).read_text(encoding="utf-8")


def judge(
    document: Document,
    source: Callable[[], str],
    parse_expression: ExpressionParser,
    default_interval_ms: int,
) -> RuleFile:
    """Judge a parsed rule file; ``source`` gives its text if a problem has to be placed in a value."""
    found: list[Problem] = []
    section = None
    try:
        section = RuleFileSection.model_validate(document.data)
    except ValidationError as error:
        found.extend(problems(document, RuleFileSection, error))
    found.extend(_inside(document, source, parse_expression))
    if section is None or found:
        return RuleFile((), tuple(sorted(set(found), key=lambda p: (p.line, p.column, p.key))))
    twice = tuple(_names_twice(document, section))
    if twice:
        return RuleFile((), twice)
    groups = tuple(
        RuleGroup(
            name=g.name,
            file=document.file,
            interval_ms=g.interval or default_interval_ms,
            rules=tuple(_rule(rule, g.labels) for rule in g.rules),
            limit=g.limit,
            query_offset_ms=g.query_offset,
        )
        for g in section.groups
    )
    return RuleFile(groups, ())


def _rule(rule: RuleSection, group_labels: dict[str, str]) -> Rule:
    labels = sorted({**group_labels, **rule.labels}.items())
    if rule.record:
        return RecordingRule(rule.record, rule.expr, tuple(labels))
    return AlertingRule(
        name=rule.alert,
        expr=rule.expr,
        for_ms=rule.for_,
        keep_firing_for_ms=rule.keep_firing_for,
        labels=tuple((n, template.parse(v, TEMPLATE_VARIABLES)) for n, v in labels),
        annotations=tuple(
            (n, template.parse(v, TEMPLATE_VARIABLES)) for n, v in sorted(rule.annotations.items())
        ),
    )


def _names_twice(document: Document, section: RuleFileSection) -> Iterator[Problem]:
    seen = set()
    for index, group in enumerate(section.groups):
        if group.name in seen:
            yield document.problem(
                ("groups", index, "name"),
                f"group {group.name!r} stands twice in this file; rename one",
                in_value=True,
            )
        seen.add(group.name)


def _inside(
    document: Document, source: Callable[[], str], parse_expression: ExpressionParser
) -> Iterator[Problem]:
    """Judge expressions and templates, also where the file around them has problems of its own."""
    for path, rule in _rules(document.data):
        expr = rule.get("expr")
        if isinstance(expr, str) and expr:
            try:
                parse_expression(expr)
            except ParseError as error:
                yield in_value(
                    document, source, (*path, "expr"), expr, offset=error.start, message=str(error)
                )
        if "record" in rule:
            continue
        for part in ("labels", "annotations"):
            texts = rule.get(part)
            for name, text in texts.items() if isinstance(texts, dict) else ():
                if not isinstance(text, str):
                    continue
                try:
                    template.parse(text, TEMPLATE_VARIABLES)
                except template.TemplateError as error:
                    where = (*path, part, str(name))
                    yield in_value(
                        document,
                        source,
                        where,
                        text,
                        offset=error.offset,
                        message=f"template: {error}",
                    )


def _rules(data: Any) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    groups = data.get("groups") if isinstance(data, dict) else None
    for g, group in enumerate(groups if isinstance(groups, list) else ()):
        rules = group.get("rules") if isinstance(group, dict) else None
        for r, rule in enumerate(rules if isinstance(rules, list) else ()):
            if isinstance(rule, dict):
                yield ("groups", g, "rules", r), rule


def groups_of(files: Sequence[RuleFile]) -> tuple[RuleGroup, ...]:
    """Return the groups of all files.

    Raises:
        ConfigError: With the problems of all files.
    """
    found = [problem for file in files for problem in file.problems]
    if found:
        raise ConfigError(found)
    return tuple(group for file in files for group in file.groups)

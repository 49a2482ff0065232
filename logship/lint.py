"""How consistent the lines of each application are, and what would make them so.

Judged is what was made of the lines: ECS documents with dotted names, from a store or fresh from
the parser. Five things that every reader of logs leans on have a share of the score each, and so
has how many lines could be parsed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from model.identity import ECS_FIELDS

# what counts, and how much of 100
WEIGHTS: Final[dict[str, int]] = {"timestamp": 25, "level": 25, "message": 15, "service": 10, "trace": 10, "parsed": 15}  # fmt: skip
GOOD: Final = 0.95  # share above which nothing is said
_EXAMPLE_CHARS: Final = 100
_CONFLICTS_MAX: Final = 5
_SERVICE: Final = ECS_FIELDS["app"]
_OWN_SERVICE: Final = ("fields.service.name", "fields.service", "fields.app")


class Advice(Struct, frozen=True):
    """One thing to change; ``share`` is that of the lines that lack it."""

    what: str
    share: float
    text: str
    example: str = ""


class Verdict(Struct, frozen=True):
    """One application; ``shares`` are those of the lines that are as they should be, ``score`` is of 100."""

    app: str
    lines: int
    score: int
    shares: dict[str, float]
    advice: list[Advice]


class _Tally(Struct):
    lines: int = 0
    good: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)  # of values, by own field
    services: Counter[str] = field(default_factory=Counter)


_ADVICE: Final[dict[tuple[str, str], str]] = {
    ("timestamp", "runtime"): "these lines have no time of their own, so the container runtime's is taken: write it first, with zone, like 2026-01-31T12:00:00.123Z, or as the key @timestamp",
    ("timestamp", "reader"): "these lines have no usable time, so the time of reading is taken: write it first, with zone, like 2026-01-31T12:00:00.123Z, or as the key @timestamp",
    ("level", "none"): "these lines name no level: write trace, debug, info, warn, error or fatal behind the time, or as the key log.level",
    ("message", "whole"): "these JSON lines have no message, so the whole line stands in its place: put the sentence under the key message",
    ("message", "colours"): "these lines have escape codes for colours in them: switch colours off where no terminal reads (NO_COLOR=1)",
    ("message", "empty"): "these lines are empty: do not write them",
    ("service", "other"): "these lines name another service than the task's identity does: use one name, or leave it out",
    ("service", "none"): "these lines belong to no application: give the task a name (label taskscope.app)",
    ("trace", "none"): "these lines have no trace id: put the current span's into the key trace.id (taskscope's logging client does)",
    ("parsed", "unparsed"): "these lines look structured but could not be read: one JSON object or one row of key=value a line, without anything before or behind it",
    ("parsed", "plain"): "these lines are in no form that is known: log JSON lines, or say the form with the label taskscope.logs.format",
}  # fmt: skip


def lint(documents: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Return a verdict for each application, the worst first."""
    tallies: dict[str, _Tally] = {}
    for document in documents:
        if str(document.get("event.dataset", "")) == "task.event":
            continue  # ours
        app = str(document.get(_SERVICE) or document.get(ECS_FIELDS["task_name"]) or "")
        _count(tallies.setdefault(app, _Tally()), document)
    verdicts = [_verdict(app, tally) for app, tally in tallies.items()]
    return sorted(verdicts, key=lambda verdict: (verdict.score, verdict.app))


def _count(tally: _Tally, document: Mapping[str, Any]) -> None:
    tally.lines += 1
    message = str(document.get("message", ""))
    flags = document.get("log.flags") or ()
    lacks = {
        "timestamp": "reader" if "time_from_reader" in flags else "runtime" if "time_from_runtime" in flags else "",
        "level": "" if document.get("log.level") else "none",
        "message": _message(message),
        "service": _service(document),
        "trace": "" if document.get("trace.id") else "none",
        "parsed": _parsed(document, flags),
    }  # fmt: skip
    for what, reason in lacks.items():
        if not reason:
            tally.good[what] += 1
            continue
        tally.reasons.setdefault(what, Counter())[reason] += 1
        tally.examples.setdefault(f"{what} {reason}", message.split("\n", 1)[0][:_EXAMPLE_CHARS])
    for name, value in document.items():
        if name.startswith("fields.") and value is not None:
            tally.kinds.setdefault(name[7:], set()).add(_kind(value))


def _message(message: str) -> str:
    if not message.strip():
        return "empty"
    if message.startswith("{") and message.endswith("}"):
        return "whole"
    return "colours" if "\x1b[" in message else ""


def _service(document: Mapping[str, Any]) -> str:
    identity = document.get(_SERVICE)
    if not identity:
        return "none"
    own = next((document[name] for name in _OWN_SERVICE if isinstance(document.get(name), str)), identity)  # fmt: skip
    return "" if own == identity else "other"


def _parsed(document: Mapping[str, Any], flags: Any) -> str:
    if "unparsed" in flags:
        return "unparsed"
    understood = document.get("log.level") or any(name.startswith("fields.") for name in document)
    return "" if understood else "plain"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "list"


def _verdict(app: str, tally: _Tally) -> Verdict:
    shares = {what: tally.good[what] / tally.lines for what in WEIGHTS}
    score = round(sum(weight * shares[what] for what, weight in WEIGHTS.items()))
    advice = []
    for what, reasons in tally.reasons.items():
        if shares[what] >= GOOD:
            continue
        reason, count = reasons.most_common(1)[0]
        advice.append(Advice(what, count / tally.lines, _ADVICE[what, reason], tally.examples[f"{what} {reason}"]))  # fmt: skip
    advice.sort(key=lambda one: -WEIGHTS[one.what] * one.share)
    conflicts = [name for name, kinds in tally.kinds.items() if len(kinds) > 1]
    for name in sorted(conflicts)[:_CONFLICTS_MAX]:
        kinds = " and ".join(sorted(tally.kinds[name]))
        advice.append(Advice("fields", 0.0, f"the field {name} is {kinds}: keep to one"))
    return Verdict(app, tally.lines, score, shares, advice)

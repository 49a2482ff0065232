"""Go's ``fmt`` for the values templates have: text, numbers, bools and maps."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

_VERB: Final = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.)", re.DOTALL
)
_GO_TYPES: Final = {bool: "bool", int: "int", float: "float64", str: "string"}


def show(value: Any) -> str:
    """Return Go's ``%v`` of a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
    return str(value)


def _shortest(value: float) -> str:
    """Return the shortest text that reads back the same; with an exponent below 1e-4 and from 1e6 (Go strconv)."""
    special = _special(value)
    if special:
        return special
    digits, _, exponent = f"{value:.17e}".partition("e")
    for precision in range(17):
        text = f"{value:.{precision}e}"
        if float(text) == value:
            digits, _, exponent = text.partition("e")
            break
    if -4 <= int(exponent) < 6:
        decimals = max(0, len(digits.lstrip("-").replace(".", "")) - 1 - int(exponent))
        return f"{value:.{decimals}f}"
    return f"{digits}e{exponent}"


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return ""


def printf(layout: str, *values: Any) -> str:
    """Return Go's Sprintf; what does not fit is shown as Go shows it (``%!d(string=x)``)."""
    left = list(values)

    def one(match: re.Match[str]) -> str:
        if match["verb"] == "%":
            return "%"
        if not left:
            return f"%!{match['verb']}(MISSING)"
        return _pad(match, _verb(match, left.pop(0)))

    out = _VERB.sub(one, layout)
    if left:
        extra = ", ".join(f"{_go_type(v)}={show(v)}" for v in left)
        return f"{out}%!(EXTRA {extra})"
    return out


def _verb(match: re.Match[str], value: Any) -> str:
    verb, flags, given = match["verb"], match["flags"], match["precision"]
    precision = int(given or 0) if given is not None else None
    sign = "+" if "+" in flags else ""
    if verb == "v":
        return show(value)
    if verb == "s" and isinstance(value, str):
        return value if precision is None else value[:precision]
    if verb == "q" and isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if verb == "t" and isinstance(value, bool):
        return show(value)
    if verb in "dxXob" and isinstance(value, int) and not isinstance(value, bool):
        return f"{value:{sign}{verb}}"
    if verb in "feEgG" and isinstance(value, float):
        special = _special(value)
        if special:
            return special
        if precision is None:
            return _shortest(value) if verb in "gG" else f"{value:{sign}.6{verb}}"
        return f"{value:{sign}.{precision}{verb}}"
    return f"%!{verb}({_go_type(value)}={show(value)})"


def _pad(match: re.Match[str], text: str) -> str:
    width = int(match["width"] or 0)
    if "-" in match["flags"]:
        return text.ljust(width)
    if "0" in match["flags"] and match["verb"] not in "sqvt":
        return text.zfill(width)
    return text.rjust(width)


def _go_type(value: Any) -> str:
    return _GO_TYPES.get(type(value), "map[string]string")

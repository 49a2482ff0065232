"""The little of Markdown that our own docs use, as HTML: headings, paragraphs, lists, code, tables, links.

Everything is escaped first, so that no text can become markup of its own.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import Final

_HEADING = re.compile(r"(#{1,4}) +(.+)")
_ITEM = re.compile(r"(?:[-*]|\d+\.) +(.*)")
_CODE = re.compile(r"`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_SAFE_TARGET = re.compile(r"(?:https?://|#|[\w./-]+(?:#[\w-]+)?$)")
_RULE_ROW = re.compile(r"\|[\s:|-]+\|?")
_PLACE: Final = "\x00{}\x00"


def to_html(text: str) -> str:
    """Return the document as HTML."""
    return "\n".join(_blocks(text.replace("\x00", "").splitlines()))


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        end = at + 1
        if line.startswith("```"):
            while end < len(lines) and not lines[end].startswith("```"):
                end += 1
            yield f"<pre>{escape(chr(10).join(lines[at + 1 : end]))}</pre>"
            at = end + 1
            continue
        if match := _HEADING.fullmatch(line):
            level = len(match[1])
            yield f"<h{level}>{_inline(match[2])}</h{level}>"
            at = end
            continue
        while end < len(lines) and lines[end].strip() and not lines[end].startswith(("#", "```")):
            end += 1
        yield _block(lines[at:end])
        at = end


def _block(lines: list[str]) -> str:
    if lines[0].startswith("|"):
        return _table(lines)
    if _ITEM.match(lines[0]) is None:
        first = next((i for i, line in enumerate(lines) if _ITEM.match(line)), len(lines))
        paragraph = f"<p>{_inline(' '.join(line.strip() for line in lines[:first]))}</p>"
        return paragraph if first == len(lines) else f"{paragraph}\n{_list(lines[first:])}"
    return _list(lines)


def _list(lines: list[str]) -> str:
    tag = "ol" if lines[0][0].isdigit() else "ul"
    items: list[str] = []
    for line in lines:
        if match := _ITEM.match(line):
            items.append(match[1])
        else:
            items[-1] += " " + line.strip()
    return f"<{tag}>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + f"</{tag}>"


def _table(lines: list[str]) -> str:
    rows = [line.strip().strip("|").split("|") for line in lines if not _RULE_ROW.fullmatch(line)]
    head, *body = [[_inline(cell.strip()) for cell in row] for row in rows]
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    below = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{below}</tbody></table>"


def _inline(text: str) -> str:
    """Render code, links and strong text of one line; code stays as it is."""
    codes: list[str] = []

    def keep(match: re.Match[str]) -> str:
        codes.append(f"<code>{escape(match[1])}</code>")
        return _PLACE.format(len(codes) - 1)

    text = escape(_CODE.sub(keep, text))
    text = _LINK.sub(_link, _STRONG.sub(r"<strong>\1</strong>", text))
    return re.sub(r"\x00(\d+)\x00", lambda match: codes[int(match[1])], text)


def _link(match: re.Match[str]) -> str:
    if not _SAFE_TARGET.match(match[2]):
        return match[1]
    return f'<a href="{match[2]}">{match[1]}</a>'

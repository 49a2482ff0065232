"""The JSON lines of one json-file log, by the templates they have shown so far; the rest one by one."""

from typing import Final

import numpy as np

from logship.parse.columns import Columns
from logship.parse.join import Records
from logship.parse.json_lines import JsonLines
from logship.parse.learn import learn
from logship.parse.lines import json_file
from logship.parse.template import Template
from logship.parse.wrapped import HEAD, Wrapped
from model.samples import Ints

TEMPLATES_MAX: Final = 16  # known at a time
_LEARNED_MAX: Final = 4  # in one read
_PAUSE: Final = 16  # reads that are not tried after one that did not pay
_BRACE: Final = ord("{")
_Part = tuple[Ints, Columns]


class WrappedJson:
    """Takes reads of one log apart in which every line is JSON in Docker's own wrapper."""

    def __init__(self, others: JsonLines) -> None:
        self._others = others
        self._templates: list[Template] = []  # the last used first
        self._pause = 0

    def read(self, lines: Wrapped, start: int, end: int) -> tuple[Records, Columns] | None:
        """Understand the lines read at an offset.

        Returns:
            Their records (without texts) and columns; None if lines are something else, or more
            than a few of them fit no template.
        """
        if self._pause:
            self._pause -= 1
            return None
        if (lines.firsts() != _BRACE).any():
            return None
        parts, left = self._by_template(lines)
        if len(left):
            if len(left) > 8 + len(lines) // 20:
                self._pause = _PAUSE
                return None
            columns = self._one_by_one(lines, left)
            if columns is None:
                return None
            parts.append((left, columns))
        records = Records(
            [],
            lines.offsets + start,
            lines.streams,
            lines.runtime_ns,
            {},
            {},
            end,
            structured=True,
        )
        if len(parts) == 1:
            return records, parts[0][1]
        columns = Columns.empty(len(lines))
        for rows, part in parts:
            columns.put(part, rows.tolist())
        return records, columns

    def _by_template(self, lines: Wrapped) -> tuple[list[_Part], Ints]:
        """Return the columns of the lines that have a template, and the rows of the others."""
        parts: list[_Part] = []
        left = np.arange(len(lines))
        for template in self._templates.copy():
            left = self._apply(template, lines, left, parts)
        for _ in range(_LEARNED_MAX):
            if not len(left):
                break
            row = left[0]
            learned = learn(lines.data[lines.starts[row] + len(HEAD) : lines.tails[row]])
            if learned is None:
                break
            before = len(left)
            left = self._apply(learned, lines, left, parts)
            if len(left) == before:
                break
        del self._templates[TEMPLATES_MAX:]
        return parts, left

    def _apply(self, template: Template, lines: Wrapped, left: Ints, parts: list[_Part]) -> Ints:
        """Take the lines that have a template; return the rows that are left."""
        likely = lines.counts[left] == template.count
        if not likely.any():
            return left
        rows = left[likely]
        places = lines.places(rows, template.count)
        fits = template.matches(lines, places)
        if not fits.any():
            return left
        if template in self._templates:
            self._templates.remove(template)
        self._templates.insert(0, template)
        if not fits.all():
            rows, places = rows[fits], places[fits]
        parts.append((rows, template.columns(lines, places)))
        likely[likely] = fits
        remaining: Ints = left[~likely]
        return remaining

    def _one_by_one(self, lines: Wrapped, rows: Ints) -> Columns | None:
        """Return the columns of lines that have no template; None if one is no whole JSON line."""
        unwrapped = json_file(b"".join(map(lines.line, rows.tolist())), 0)
        if unwrapped.partial or unwrapped.unwrapped or len(unwrapped.texts) != len(rows):
            return None
        return self._others.decode(unwrapped.texts)

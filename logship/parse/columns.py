"""The understood form of records on their way into a batch: one list per column."""

import numpy as np
from msgspec import Struct, field

from logship.parse.timestamps import NO_TIME
from model.samples import Ints


class Columns(Struct):
    """n records: message and own fields as UTF-8 bytes, time (``NO_TIME`` if the record gave none), level.

    ``bad_times`` counts times that were there and cannot be meant (year 9999).
    """

    message: list[bytes]
    fields: list[bytes]
    times: list[int] | Ints
    levels: list[int]
    unparsed: list[int] = field(default_factory=list)
    traces: dict[int, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, size: int) -> "Columns":
        """Return columns to be filled row by row."""
        return cls([b""] * size, [b""] * size, [NO_TIME] * size, [0] * size)

    def put(self, part: "Columns", rows: list[int]) -> None:
        """Take the records of a part as these rows."""
        # a column at a time: half the price of a record at a time
        message, fields, levels = self.message, self.fields, self.levels
        for row, text in zip(rows, part.message, strict=True):
            message[row] = text
        for row, own in zip(rows, part.fields, strict=True):
            fields[row] = own
        for row, level in zip(rows, part.levels, strict=True):
            levels[row] = level
        times = np.asarray(self.times, dtype=np.int64)
        times[rows] = part.times
        self.times = times
        self.unparsed += [rows[index] for index in part.unparsed]
        self.traces.update({rows[index]: trace for index, trace in part.traces.items()})

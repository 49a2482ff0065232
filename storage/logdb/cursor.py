"""Cursors as text. A search goes on by time and record, a tail by the order in which records were stored."""

from msgspec import Struct

from model.errors import QueryError
from storage.logdb.recent import Key


class Stored(Struct, frozen=True):
    """A place in the order of storing: batch number and offset."""

    seq: int
    offset: int


def search_cursor(key: Key) -> str:
    """Return the cursor behind a record of a search."""
    return f"s{key[0]}.{key[1]}.{key[2]}"


def tail_cursor(stored: Stored) -> str:
    """Return the cursor behind a record of a tail."""
    return f"t{stored.seq}.{stored.offset}"


def read_cursor(text: str) -> Key | Stored:
    """Return what a cursor means.

    Raises:
        QueryError: If the text is no cursor of this store.
    """
    try:
        numbers = [int(part) for part in text[1:].split(".")]
        if text[:1] == "s":
            ts_ns, source, offset = numbers
            return ts_ns, source, offset
        if text[:1] == "t":
            seq, offset = numbers
            return Stored(seq, offset)
    except ValueError:
        pass
    raise QueryError(f"{text!r} is no cursor of the log store; leave it out to start afresh")

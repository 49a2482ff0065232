"""What a record of a spool holds: batches, and what is needed to take in the same once only after a restart."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from logship import wire
from model.log import LogBatch


class Owner(Struct, frozen=True, array_like=True):
    """Whose a record is, as far as its sender says.

    Attributes:
        key: Unique within the source.
        container_id: Whole or shortened, "" if unknown.
        task_id: As the application says, "" if it does not.
        app: Its name, as the application or its tag says.
        namespace: Of the app.
        task_name: The container's name, or the app's instance.
        stream: Where each record does not say it itself.
        is_lines: Whether records are lines of a log, to be joined, and not records that are whole.
    """

    key: str
    container_id: str = ""
    task_id: str = ""
    app: str = ""
    namespace: str = ""
    task_name: str = ""
    stream: str = ""
    is_lines: bool = False


class Held(Struct, array_like=True):
    """A line that was acknowledged and belongs to a record that may go on; redacted.

    Attributes:
        number: Unique in the spool; later lines have higher ones.
        source: Name of the source that took it.
        owner: Whose it is.
        stream: "stdout" or "stderr".
        ts_ns: When it was written.
        text: The line.
        partial: Whether it goes on in the next one.
    """

    number: int
    source: str
    owner: Owner
    stream: str
    ts_ns: int
    text: str
    partial: bool


class Entry(Struct, array_like=True):
    """One record.

    Attributes:
        batches: As ``wire.encode`` writes them; empty for none.
        tickets: Marks of the messages that are stored with it: one that comes again is known.
        held: Lines that wait for what follows them.
        settled: Numbers of held lines that are in ``batches``.
    """

    batches: bytes = b""
    tickets: list[bytes] = []
    held: list[Held] = []
    settled: list[int] = []


_ENTRY: Final = msgspec.msgpack.Decoder(Entry)


def encode(
    batches: Sequence[LogBatch],
    *,
    tickets: Sequence[bytes] = (),
    held: Sequence[Held] = (),
    settled: Sequence[int] = (),
) -> bytes:
    """Return the payload of a record."""
    packed = wire.encode(batches) if batches else b""
    return msgspec.msgpack.encode(Entry(packed, list(tickets), list(held), list(settled)))


def decode(payload: bytes) -> Entry:
    """Return what a payload holds.

    Raises:
        ValueError: If it is none of ours.
    """
    try:
        return _ENTRY.decode(payload)
    except msgspec.MsgspecError as error:
        raise ValueError(f"a record of the log buffer cannot be read: {error}") from error


def batches_of(payload: bytes) -> list[LogBatch]:
    """Return the batches of a payload.

    Raises:
        ValueError: If it is none of ours.
    """
    packed = decode(payload).batches
    return wire.decode(packed) if packed else []

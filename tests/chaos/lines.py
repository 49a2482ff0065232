"""Numbered lines that prove themselves, and the forms in which tasks write them.

A line is ``task=<name> seq=<n> crc=<crc32 of the payload> <payload>``; the payload follows from seed, task and
number, so that whoever reads it can tell every byte. ``form`` says what stands around it.
"""

import json
import random
import re
import time
import zlib
from typing import Final

FORMS: Final = ("json", "text", "bare", "docker-json", "docker-text", "event")
TIMED: Final = frozenset(FORMS) - {"bare"}  # with a time of their own, which gives the order
PARTIAL_BYTES: Final = 16 << 10  # Docker cuts longer lines into pieces of this size

_LINE: Final = re.compile(r"task=(\S+) seq=(\d+) crc=([0-9a-f]{8}) (.*)", re.DOTALL)
_WORDS: Final = (
    "order", "paid", "café", "naïve", '"quoted"', "back\\slash", "{brace}", "[list]", "größer", "42", "3.14", "null",
    "日本語", "a=b", "key:", "50%", "<tag>", "'single'", "retry", "timeout", "shop", "\u2028", "x" * 60, "…", "😀",
)  # fmt: skip
_TRACE: Final = (
    "java.lang.IllegalStateException: {}",
    "\tat com.example.Shop.pay(Shop.java:{})",
    "\tat com.example.Shop.run(Shop.java:7)",
    "Caused by: java.io.IOException: broken pipe",
    "\tat java.base/java.io.Stream.write(Stream.java:1)",
)


def payload(seed: int, task: str, seq: int, form: str) -> str:
    """Return what line ``seq`` of a task says: some words, seldom a stack trace, very seldom 40 KiB."""
    rng = random.Random(f"{seed}/{task}/{seq}")
    count = 1500 if rng.random() < 0.002 else rng.randrange(1, 25)
    text = " ".join(rng.choices(_WORDS, k=count)) + f" end{seq}"
    if form != "bare" and rng.random() < 0.03:
        text += "\n" + "\n".join(part.format(seq) for part in _TRACE)
    return text


def line(seed: int, task: str, seq: int, form: str) -> str:
    """Return the bytes' text of one line, with its end or ends of line."""
    said = payload(seed, task, seq, form)
    text = f"task={task} seq={seq} crc={zlib.crc32(said.encode()):08x} {said}"
    level = "ERROR" if "\n" in said else "INFO"
    now = time.time_ns()
    at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now % 10**9:09d}Z"
    if form.endswith("json"):
        text = json.dumps({"ts": at, "level": level.lower(), "message": text}, ensure_ascii=False)
    elif form.endswith("text"):
        text = f"{at} {level} {text}"
    if form.startswith("docker"):
        return "".join(_wrapped(one, at) for one in text.split("\n"))
    return f"{text}\n"


def banner(form: str) -> str:
    """Return the line that every file begins with, the same each time, as programs greet."""
    text = "Shop 1.0 is starting"
    return _wrapped(text, "2026-01-01T00:00:00Z") if form.startswith("docker") else f"{text}\n"


def read(message: str) -> tuple[str, int, str] | None:
    """Return task, number and payload of a message; None for what is no such line or is torn."""
    found = _LINE.search(message)
    if found is None or int(found[3], 16) != zlib.crc32(found[4].encode("utf-8", "surrogatepass")):
        return None
    return found[1], int(found[2]), found[4]


def _wrapped(text: str, at: str) -> str:
    """Return a line as Docker's json-file driver writes it: a long one in pieces."""
    data = f"{text}\n"
    pieces = [data[n : n + PARTIAL_BYTES] for n in range(0, len(data), PARTIAL_BYTES)]
    return "".join(json.dumps({"log": piece, "stream": "stdout", "time": at}, ensure_ascii=False) + "\n" for piece in pieces)  # fmt: skip

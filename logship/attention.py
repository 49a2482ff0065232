"""Which logs the reader looks at, and in what order.

A log that has been quiet for some seconds is *cold*: the kernel tells when something happens to it,
and for file systems that do not tell, every log is looked at once in a while. The others are *hot*
and looked at in every turn, those first of which least was read lately: a task that writes a line
now and then goes before its noisy neighbours.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from logship.source.chunk import Stream
from logship.source.watch import Watcher

SWEEP_SECONDS: Final = 10.0  # in which every cold log is looked at once
IDLE_SECONDS: Final = 1.0  # the longest wait
_FORGET_SECONDS: Final = 1.0  # what was read this long ago counts half
_LITTLE_BYTES: Final = 4096.0


class Attention:
    """Used by the reader's thread only, but for ``ring``."""

    def __init__(self, poll_interval_seconds: float) -> None:
        self._poll_interval_seconds = poll_interval_seconds
        self._watcher = Watcher()
        self._streams: Mapping[str, Stream] = {}
        self._hot: dict[str, Stream] = {}
        self._cold: dict[str, Stream] = {}
        self._sweeping: Iterator[str] = iter(())
        self._swept_at = self._halved_at = 0.0
        self._read: dict[str, float] = {}

    @property
    def hot(self) -> int:
        """How many logs are looked at in every turn."""
        return len(self._hot)

    def follow(self, streams: Mapping[str, Stream]) -> None:
        """Take note of streams that are new or gone; the same mapping has none."""
        if streams is self._streams:
            return
        self._streams = streams
        for key in (self._hot.keys() | self._cold.keys()) - streams.keys():
            self._hot.pop(key, None)
            self._cold.pop(key, None)
            self._read.pop(key, None)
        for key, stream in streams.items():
            if key not in self._cold:
                self._hot[key] = stream

    def wake(self, keys: Collection[str]) -> None:
        """Look at logs in the next turn."""
        for key in keys:
            stream = self._cold.pop(key, None)
            if stream is not None:
                self._hot[key] = stream

    def turn(self, now: float, now_ns: int) -> list[Stream]:
        """Return the logs to look at now."""
        self._sweep(now, now_ns)
        if now - self._halved_at >= _FORGET_SECONDS:
            self._halved_at = now
            self._read = {k: size / 2 for k, size in self._read.items() if size > _LITTLE_BYTES}
        streams = list(self._hot.values())
        if self._read:
            read = self._read
            streams.sort(key=lambda stream: read.get(stream.key, 0.0))
        return streams

    def count(self, stream: Stream, size: int) -> None:
        """Take note of how much was read of a log."""
        self._read[stream.key] = self._read.get(stream.key, 0.0) + size

    def rest(self, stream: Stream, now: float, now_ns: int) -> bool:
        """Let the kernel tell of a log that has long been quiet; True if there was something after all."""
        if not stream.settled(now):
            return False
        only_sweep = stream.finished or stream.problem
        if not only_sweep and not self._watcher.watch(stream.key, *stream.watched):
            return False
        if stream.refresh(now, now_ns) or not stream.settled(now):  # just before the watch began
            return True
        if self._hot.pop(stream.key, None) is not None:
            self._cold[stream.key] = stream
        return False

    def _sweep(self, now: float, now_ns: int) -> None:
        """Look at some of the cold logs, all of them in some seconds."""
        if self._watcher.everything:
            self._watcher.everything = False
            self.wake(list(self._cold))
        passed = min(now - self._swept_at, SWEEP_SECONDS)
        count = int(len(self._cold) * passed / SWEEP_SECONDS)
        if not count and passed < SWEEP_SECONDS:
            return
        self._swept_at = now
        for _ in range(max(1, count)):
            key = next(self._sweeping, None)
            if key is None:
                self._sweeping = iter(list(self._cold))
                key = next(self._sweeping, None)
            stream = self._cold.get(key) if key is not None else None
            if stream is not None and (stream.refresh(now, now_ns) or not stream.settled(now)):
                self.wake((stream.key,))

    def wait(self, *, more: bool) -> None:
        """Wait for the next turn; not at all if there is more to read."""
        seconds = 0.0 if more else self._poll_interval_seconds if self._hot else IDLE_SECONDS
        self.wake(self._watcher.wait(seconds))

    def ring(self) -> None:
        """End the wait; any thread may."""
        self._watcher.ring()

    def close(self) -> None:
        """Let go of the watches; safe twice."""
        self._watcher.close()

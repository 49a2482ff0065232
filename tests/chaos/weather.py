"""What goes wrong around the agent, one fault after another."""

import random
import threading
import time

from tests.chaos.backend import FAULTS, Backend
from tests.chaos.disk import SmallDisk
from tests.chaos.outcome import Span


class Weather(threading.Thread):
    """One fault after another, each for some seconds, with pauses; none while ``calm``."""

    def __init__(self, backend: Backend, disk: SmallDisk | None, seed: int) -> None:
        super().__init__(name="weather", daemon=True)
        self.spans: list[Span] = []
        self.calm = threading.Event()
        self._backend = backend
        self._disk = disk
        self._random = random.Random(seed)
        self._end = threading.Event()

    def run(self) -> None:
        """Go round until stopped."""
        every = [*FAULTS, "rollover", "full disk"] if self._disk else [*FAULTS, "rollover"]
        while not self._end.is_set():
            self._random.shuffle(every)
            for name in every:
                self._end.wait(self._random.uniform(0.3, 2.0))
                while self.calm.is_set() and not self._end.is_set():
                    self._end.wait(0.1)
                if self._end.is_set():
                    return
                self._one(name)

    def _one(self, name: str) -> None:
        span = Span(name, time.monotonic())
        self.spans.append(span)
        seconds = self._random.uniform(1.0, 4.0)
        if name == "rollover":
            self._backend.rollover()
        elif name == "full disk":
            assert self._disk is not None
            with self._disk.full():
                self._end.wait(seconds)
        else:
            self._backend.set(name)
            self._end.wait(seconds)
            self._backend.set("")
        span.end = time.monotonic()

    def stop(self) -> None:
        """End; everything is whole again."""
        self._end.set()
        self.join()

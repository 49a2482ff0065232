"""Waits until something happens to one of thousands of files, at no cost while nothing does.

Linux's inotify, one notice per watch: a file that is written to all the time costs its writer and
us nothing more, since it is looked at in every turn anyway until it is quiet again. Without inotify,
or beyond its limit (``fs.inotify.max_user_watches``), ``watch`` says no, and files are polled.
"""

import ctypes
import errno
import os
import select
import struct
from pathlib import Path
from typing import Final

_MODIFY, _ATTRIB, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x2, 0x4, 0x80, 0x100, 0x200, 0x400, 0x800  # fmt: skip
_IGNORED, _ONESHOT, _OVERFLOW = 0x8000, 0x80000000, 0x4000
_FILE: Final = _MODIFY | _ATTRIB | _MOVE_SELF | _DELETE_SELF | _ONESHOT
_FOLDER: Final = _CREATE | _MOVED_TO | _DELETE | _MOVE_SELF | _DELETE_SELF | _ONESHOT
_EVENT: Final = struct.Struct("iIII")
_EVENTS_BYTES: Final = 64 << 10


class Watcher:
    """Tells which keys to look at; one thread watches and waits, any may ring."""

    def __init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._keys: dict[int, set[str]] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._open()
        self.everything = False  # some notices were lost: all keys should be looked at
        if self._inotify >= 0:
            self._poll.register(self._inotify, select.POLLIN)

    def _open(self) -> int:
        try:
            found: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:  # a libc without it
            return -1
        return found

    def watch(self, key: str, path: Path, link: Path | None = None) -> bool:
        """Ask for one notice when a file, or what is in a folder, changes.

        Args:
            key: What to tell then.
            path: The file or folder.
            link: A folder besides, where a link may be put elsewhere.

        Returns:
            Whether there will be one; if not, only looking tells.
        """
        return self._add(key, path) and (link is None or self._add(key, link))

    def _add(self, key: str, path: Path) -> bool:
        if self._inotify < 0:
            return False
        mask = _FOLDER if path.is_dir() else _FILE
        number: int = self._libc.inotify_add_watch(self._inotify, os.fsencode(path), ctypes.c_uint32(mask))  # fmt: skip
        if number < 0:
            return ctypes.get_errno() == errno.ENOENT and path.parent != path and self._add(key, path.parent)  # fmt: skip
        self._keys.setdefault(number, set()).add(key)
        return True

    def ring(self) -> None:
        """End a wait; any thread may."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def wait(self, timeout_seconds: float) -> set[str]:
        """Wait for a notice or the bell, and return the keys to look at."""
        keys: set[str] = set()
        for descriptor, _ in self._poll.poll(timeout_seconds * 1000):
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
            else:
                keys |= self._notices()
        return keys

    def _notices(self) -> set[str]:
        keys: set[str] = set()
        try:
            data = os.read(self._inotify, _EVENTS_BYTES)
        except BlockingIOError:
            return keys
        at = 0
        while at < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            if mask & _OVERFLOW:
                self.everything = True
            keys |= self._keys.get(number, set())
            if mask & _IGNORED:  # the watch is no more
                self._keys.pop(number, None)
        return keys

    def close(self) -> None:
        """Let go of everything; safe twice."""
        for descriptor in (self._bell, self._inotify):
            if descriptor >= 0:
                os.close(descriptor)
        self._bell = self._inotify = -1

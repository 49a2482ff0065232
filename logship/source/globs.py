"""Finds the files that an operator named by patterns, again and again, at the price of a look at each folder.

A folder is listed again only when it has changed. Links to folders are not gone into where a
wildcard meets them, so that nothing is found under two names (a sandbox's ``runs/latest``); of a
file and links to it, the file counts. Rotated files belong to the log that they were.
"""

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from logship.parse.parser import Wrapping
from logship.source.names import base_of
from model.clock import Clock

_WILD: Final = re.compile(r"[*?\[]")
_FRESH_SECONDS: Final = 0.1  # a change right after a listing may have the same time


class FileSource(Struct, frozen=True):
    """Files to follow; see ``FilesSourceConfig``."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    app: str = ""
    wrapping: Wrapping = "auto"


class Found(Struct, frozen=True):
    """A log that is there, or was: its rotated files are."""

    path: Path
    source: FileSource


class _Item(Struct, frozen=True):
    name: str
    folder: bool  # and no link
    file: bool
    link: bool


class _Listing(Struct, frozen=True):
    mtime_ns: int
    items: list[_Item]


class Globs:
    """Expands patterns; keeps listings between times."""

    def __init__(self, sources: Sequence[FileSource], clock: Clock) -> None:
        self._sources = tuple(sources)
        self._clock = clock
        self._listings: dict[str, _Listing] = {}
        self.problems: tuple[str, ...] = ()

    def expand(self) -> list[Found]:
        """Return what is there now, each log once; ``problems`` says which patterns find nothing."""
        found: dict[str, Found] = {}
        links: dict[str, Found] = {}
        problems = []
        for source in self._sources:
            matches = _matcher(source)
            for pattern in source.include:
                nothing = True
                for folder, item in self._walk("/", PurePosixPath(pattern).parts[1:]):
                    nothing = False
                    name = _log_name(folder, item.name, matches)
                    path = f"{os.path.realpath(folder).rstrip('/')}/{name}"
                    if matches(path):
                        (links if item.link else found).setdefault(path, Found(Path(path), source))
                if nothing:
                    problems.append(f"logship.sources: {pattern} matches no file that can be seen")
        self.problems = tuple(problems)
        targets = set(found)
        for path, link in sorted(links.items()):
            target = os.path.realpath(path)
            if target not in targets:
                targets.add(target)
                found.setdefault(path, link)
        return list(found.values())

    def _walk(self, folder: str, parts: Sequence[str]) -> Iterator[tuple[str, _Item]]:
        """Yield the files that the rest of a pattern names below a folder."""
        part, rest = parts[0], parts[1:]
        if part == "**":
            if rest:
                yield from self._walk(folder, rest)
            for item in self._list(folder):
                if item.folder:
                    yield from self._walk(f"{folder.rstrip('/')}/{item.name}", parts)
                elif item.file and not rest:
                    yield folder, item
            return
        if rest and not _WILD.search(part):
            yield from self._walk(f"{folder.rstrip('/')}/{part}", rest)
            return
        fits = re.compile(fnmatch.translate(part)).match
        for item in self._list(folder):
            if not fits(item.name) or (item.name[:1] == "." != part[:1]):
                continue
            if rest and item.folder:
                yield from self._walk(f"{folder.rstrip('/')}/{item.name}", rest)
            elif item.file and not rest:
                yield folder, item

    def _list(self, folder: str) -> list[_Item]:
        try:
            mtime_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116  # a Path costs twice this
            known = self._listings.get(folder)
            if known is not None and known.mtime_ns == mtime_ns:
                return known.items
            with os.scandir(folder) as entries:
                items = [_Item(e.name, e.is_dir(follow_symlinks=False), e.is_file(), e.is_symlink()) for e in entries]  # fmt: skip
        except OSError:
            self._listings.pop(folder, None)
            return []
        if self._clock.now_ns() - mtime_ns > _FRESH_SECONDS * 1e9:
            self._listings[folder] = _Listing(mtime_ns, items)
        return items


def _matcher(source: FileSource) -> "_Matches":
    return _Matches(
        [_regex(pattern) for pattern in source.include],
        [_regex(pattern) for pattern in source.exclude],
    )


class _Matches(Struct, frozen=True):
    include: list[re.Pattern[str]]
    exclude: list[re.Pattern[str]]

    def __call__(self, path: str) -> bool:
        """Tell whether a path is not excluded."""
        return not any(pattern.fullmatch(path) for pattern in self.exclude)

    def wants(self, path: str) -> bool:
        """Tell whether a path would be followed if it were there."""
        return any(pattern.fullmatch(path) for pattern in self.include) and self(path)


def _regex(pattern: str) -> re.Pattern[str]:
    """Return a path's pattern: wildcards stay within a name, ``**`` is any folders."""
    parts = []
    for part in PurePosixPath(pattern).parts[1:]:
        if part == "**":
            parts.append("(?:/[^/]+)*")
        else:
            text = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
            parts.append("/" + text.replace(".*", "[^/]*"))
    return re.compile("".join(parts))


def _log_name(folder: str, name: str, matches: _Matches) -> str:
    """Return the name of the log that a file is or was."""
    base = base_of(name.removesuffix(".gz")) or name.removesuffix(".gz")
    if base == name:
        return name
    whole = f"{folder}/{base}"
    return base if name.endswith(".gz") or matches.wants(whole) or os.path.isfile(whole) else name  # noqa: PTH113  # as above

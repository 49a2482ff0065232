"""From tasks to streams: which logs to follow for which task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from logship.parse.batch import Origin
from logship.parse.formats import FORMATS
from logship.parse.parser import Parser, Wrapping
from logship.policy import Policy
from logship.redact import Redactor
from logship.source.chunk import Stream
from logship.source.docker_api import ApiStream
from logship.source.known import KnownFiles
from logship.source.tail import Tail
from model import task_labels
from model.task import Task

SANDBOX_FILES = ("stdout", "stderr")


class Wanted(Struct, frozen=True):
    """A stream that a task should have; without ``base`` only the runtime's API has it."""

    key: str
    base: Path | None
    stream: str
    wrapped: bool
    format: Any = "auto"
    multiline: bool = True


class HowToParse(Struct, frozen=True):
    """What a task's labels say of its lines."""

    format: Any = "auto"
    multiline: bool = True


def how_to_parse(labels: Mapping[str, str]) -> HowToParse:
    """Return what ``taskscope.logs.format`` and ``taskscope.logs.multiline`` say."""
    form = labels.get(task_labels.LOGS_PREFIX + "format", "auto")
    multiline = labels.get(task_labels.LOGS_PREFIX + "multiline", "auto") != "off"
    return HowToParse(FORMATS.get(form.lower(), "auto"), multiline)


def wanted(task: Task) -> Iterator[Wanted]:
    """Return the file streams of a task; none where its labels say so."""
    label = _labels(task)
    if label("enabled", "true").lower() == "false":
        return
    parsing = how_to_parse(task.status.labels)
    how: dict[str, Any] = {"format": parsing.format, "multiline": parsing.multiline}
    who = task.identity.container_id or task.identity.task_id
    if task.status.log_path:
        yield Wanted(who, Path(task.status.log_path), "stdout", wrapped=True, **how)
    elif task.status.sandbox:
        for name in SANDBOX_FILES:
            yield Wanted(f"{task.identity.task_id}/{name}", Path(task.status.sandbox) / name, name, wrapped=False, **how)  # fmt: skip
    elif task.identity.container_id and task.status.log_driver not in ("", "none"):
        yield Wanted(who, None, "stdout", wrapped=False, **how)


def _labels(task: Task) -> Callable[[str, str], str]:
    return lambda name, default: task.status.labels.get(task_labels.LOGS_PREFIX + name, default)


class Origins(Struct):
    """Makes the ``Origin`` of a read: identity, dataset and runs of the task as they are now."""

    dataset: str
    stream: str
    _last: tuple[Task, str, Origin] | None = field(default=None)

    def __call__(self, task: Task, source_id: str) -> Origin:
        """Return the origin, the same object as long as nothing changed."""
        if self._last is not None and self._last[0] is task and self._last[1] == source_id:
            return self._last[2]
        runs = [run for run in task.status.runs if run.started_ms]
        origin = Origin(
            identity=task.identity,
            source_id=source_id,
            stream=self.stream,
            dataset=_dataset(_labels(task)("dataset", self.dataset)) or self.dataset,
            run_starts_ns=tuple(run.started_ms * 1_000_000 for run in runs),
            run_numbers=tuple(run.number for run in runs),
        )
        self._last = (task, source_id, origin)
        return origin


def _dataset(name: str) -> str:
    """Return a dataset name that Elasticsearch takes as part of a data stream's name."""
    kept = "".join(c if c.isalnum() or c in "._" else "_" for c in name.lower())
    return kept.strip("._")[:100]


class Finder:
    """Makes streams for tasks, keeps them while there is something to read."""

    def __init__(
        self,
        redactor: Redactor | None,
        known: KnownFiles,
        sinks: Sequence[str],
        *,
        dataset: str,
        docker_socket: str,
        policy: Policy | None = None,
    ) -> None:
        self._policy = policy or Policy()
        self._redactor = redactor
        self._known = known
        self._sinks = tuple(sinks)
        self._dataset = dataset
        self._docker_socket = docker_socket

    def make(self, task: Task, want: Wanted, now: float, now_ns: int) -> Stream:
        """Make and open a stream: of the file if it may be read, else through the runtime's API."""
        if want.base is not None:
            tail = self.tail(task, want, want.base)
            tail.refresh(now, now_ns)
            if not tail.denied or not self._docker_socket or not task.identity.container_id:
                return tail
            tail.close()
        return self.api(task, want)

    def api(self, task: Task, want: Wanted) -> ApiStream:
        """Make the stream of a container's log through the API."""
        parser = self._parser(task, want, "none")
        origins = Origins(self._dataset, want.stream)
        return ApiStream(f"{want.key}/api", task, self._docker_socket, parser, self._known, self._sinks, origins)  # fmt: skip

    def _parser(self, task: Task, want: Wanted, wrapping: Wrapping) -> Parser:
        form, multiline = self._policy.parsing(task.identity, want.format, multiline=want.multiline)
        return Parser(self._redactor, wrapping=wrapping, format=form, multiline=multiline, typed=tuple(self._policy.fields))  # fmt: skip

    def tail(self, task: Task, want: Wanted, base: Path) -> Tail:
        """Make the stream of a file."""
        parser = self._parser(task, want, "json-file" if want.wrapped else "none")
        origins = Origins(self._dataset, want.stream)
        return Tail(want.key, task, base, parser, self._known, self._sinks, origins)  # fmt: skip

    def update(self, streams: dict[str, Stream], tasks: frozenset[Task], now: float, now_ns: int) -> dict[str, Stream]:  # fmt: skip
        """Return new streams for tasks that have none; tell the others how their task is.

        New streams have been opened, so that a container that is removed at once is read.
        """
        new: dict[str, Stream] = {}
        present = set()
        for task in tasks:
            for want in wanted(task):
                present.add(want.key)
                stream = streams.get(want.key)
                if stream is None:
                    stream = new[want.key] = self.make(task, want, now, now_ns)
                stream.task = task
                stream.gone = task.status.state.ended
        for key, stream in streams.items():
            if key not in present:
                stream.gone = True
        return new

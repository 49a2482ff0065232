"""From tasks to streams: which logs to follow for which task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from logship.parse.batch import Origin
from logship.parse.formats import FORMATS
from logship.parse.parser import Parser, Wrapping
from logship.policy import Policy
from logship.redact import Redactor
from logship.source.chunk import Stream
from logship.source.docker_api import ApiStream
from logship.source.globs import Found
from logship.source.known import KnownFiles
from logship.source.path_owner import owner
from logship.source.tail import Tail
from model import task_labels
from model.task import Task

SANDBOX_FILES = ("stdout", "stderr")
FILE_KEY = "file:"


class Wanted(Struct, frozen=True):
    """A stream that a task should have; without ``base`` only the runtime's API has it."""

    key: str
    base: Path | None
    stream: str
    wrapping: Wrapping
    format: Any = "auto"
    multiline: bool = True
    follow: bool = False
    tags: dict[str, str] = field(default_factory=dict)


Kind = Literal["docker", "sandbox"]
KINDS: frozenset[Kind] = frozenset({"docker", "sandbox"})


class HowToParse(Struct, frozen=True):
    """What a task's labels say of its lines."""

    format: Any = "auto"
    multiline: bool = True


def how_to_parse(labels: Mapping[str, str]) -> HowToParse:
    """Return what ``taskscope.logs.format`` and ``taskscope.logs.multiline`` say."""
    form = labels.get(task_labels.LOGS_PREFIX + "format", "auto")
    multiline = labels.get(task_labels.LOGS_PREFIX + "multiline", "auto") != "off"
    return HowToParse(FORMATS.get(form.lower(), "auto"), multiline)


def wanted(task: Task, kinds: frozenset[Kind] = KINDS) -> Iterator[Wanted]:
    """Return the file streams of a task; none where its labels say so."""
    label = _labels(task)
    if label("enabled", "true").lower() == "false":
        return
    parsing = how_to_parse(task.status.labels)
    how: dict[str, Any] = {"format": parsing.format, "multiline": parsing.multiline}
    who = task.identity.container_id or task.identity.task_id
    docker = "docker" in kinds
    if task.status.log_path:
        if docker:
            yield Wanted(who, Path(task.status.log_path), "stdout", "json-file", **how)
    elif task.status.sandbox:
        for name in SANDBOX_FILES if "sandbox" in kinds else ():
            yield Wanted(f"{task.identity.task_id}/{name}", Path(task.status.sandbox) / name, name, "none", **how)  # fmt: skip
    elif docker and task.identity.container_id and task.status.log_driver not in ("", "none"):
        yield Wanted(who, None, "stdout", "none", **how)


def _labels(task: Task) -> Callable[[str, str], str]:
    return lambda name, default: task.status.labels.get(task_labels.LOGS_PREFIX + name, default)


class Origins(Struct):
    """Makes the ``Origin`` of a read: identity, dataset and runs of the task as they are now."""

    dataset: str
    stream: str
    tags: dict[str, str] = field(default_factory=dict)
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
            tags=self.tags,
        )
        self._last = (task, source_id, origin)
        return origin


def _dataset(name: str) -> str:
    """Return a dataset name that Elasticsearch takes as part of a data stream's name."""
    kept = "".join(c if c.isalnum() or c in "._" else "_" for c in name.lower())
    return kept.strip("._")[:100]


class Update(Struct, frozen=True):
    """Streams that are new, and those whose task ended, was removed or began again."""

    new: dict[str, Stream]
    changed: list[str]


class Finder:
    """Makes streams for tasks, keeps them while there is something to read.

    Logs of ``kinds`` are read; those of the log drivers ``elsewhere`` come over a socket.
    """

    def __init__(
        self,
        redactor: Redactor | None,
        known: KnownFiles,
        sinks: Sequence[str],
        *,
        dataset: str,
        docker_socket: str,
        kinds: frozenset[Kind] = KINDS,
        elsewhere: frozenset[str] = frozenset(),
        cluster: str = "",
        host: str = "",
        policy: Policy | None = None,
    ) -> None:
        self._policy = policy or Policy()
        self._redactor = redactor
        self._known = known
        self._sinks = tuple(sinks)
        self._dataset = dataset
        self._docker_socket = docker_socket
        self._kinds = kinds
        self._elsewhere = elsewhere
        self._cluster = cluster
        self._host = host
        self._found: dict[str, tuple[Found, Task]] = {}

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
        parser = self._parser(task, want, want.wrapping)
        origins = Origins(self._dataset, want.stream, want.tags)
        return Tail(want.key, task, base, parser, self._known, self._sinks, origins, follow=want.follow)  # fmt: skip

    def found(self, logs: Sequence[Found]) -> bool:
        """Take the logs that patterns find now; tell whether they are others than before."""
        if [log for log, _ in self._found.values()] == list(logs):
            return False
        self._found = {
            f"{FILE_KEY}{log.path}": (log, owner(log.path, app=log.source.app, cluster=self._cluster, host=self._host))
            for log in logs
        }  # fmt: skip
        return True

    def _wanted(self, tasks: frozenset[Task]) -> Iterator[tuple[Task, Wanted]]:
        taken = set()
        for task in tasks:
            if task.status.log_driver in self._elsewhere:
                continue  # its lines come over a socket
            for want in wanted(task, self._kinds):
                taken.add(want.base)
                yield task, want
        for key, (log, task) in self._found.items():
            if log.path not in taken:  # it is a container's, which knows more of itself
                yield task, Wanted(
                    key, log.path, log.path.name, log.source.wrapping,
                    follow=True, tags={"log.file.path": str(log.path)},
                )  # fmt: skip

    def update(self, streams: dict[str, Stream], tasks: frozenset[Task], now: float, now_ns: int) -> Update:  # fmt: skip
        """Make new streams for tasks and files that have none; tell the others how their task is.

        New streams have been opened, so that a container that is removed at once is read.
        """
        new: dict[str, Stream] = {}
        present = set()
        changed = []
        for task, want in self._wanted(tasks):
            present.add(want.key)
            stream = streams.get(want.key)
            if stream is None:
                stream = new[want.key] = self.make(task, want, now, now_ns)
            stream.task = task
            if stream.gone != task.status.state.ended:
                stream.gone = task.status.state.ended
                changed.append(want.key)
        for key, stream in streams.items():
            if key not in present and not stream.gone:
                stream.gone = True
                changed.append(key)
        return Update(new, changed)

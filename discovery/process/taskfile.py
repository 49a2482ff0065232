"""``task.json``: what a supervisor writes of its task and everybody else reads."""

from pathlib import Path
from typing import Final

from msgspec import Struct

from discovery.wire import VERSION, decode, encode
from model.task import Task
from storage.files import replace_file

FILE_NAME: Final = "task.json"


class TaskFile(Struct, frozen=True):
    """The content of the file.

    Attributes:
        task: As last seen by its supervisor.
        supervisor_pid: In the host's pid namespace.
        supervisor_start_ticks: Tells a reused pid apart, see ``discovery.proc.start_ticks``.
        note: What could not be done for the task (no cgroup of its own: why), "" if all was.
    """

    task: Task
    supervisor_pid: int
    supervisor_start_ticks: int
    note: str = ""
    version: int = VERSION


def read_task_file(directory: Path) -> TaskFile:
    """Return the content of a task directory's file.

    Raises:
        OSError: If it cannot be read.
        DiscoveryError: If it is no task file or of another version.
    """
    return decode((directory / FILE_NAME).read_bytes(), TaskFile)


def write_task_file(directory: Path, content: TaskFile) -> None:
    """Replace the file of a task directory as a whole.

    Raises:
        OSError: If it cannot be written.
    """
    replace_file(directory / FILE_NAME, encode(content))


def tasks_directory(data_dir: Path) -> Path:
    """Return where the task directories lie."""
    return data_dir / "tasks"

"""The exceptions of Taskscope, as one tree.

TaskscopeError
├── OperatorError          somebody wrote something wrong; the command line exits 2
│   └── ConfigError        carries every problem found, each with its place
├── QueryError             a PromQL or log query cannot be parsed or evaluated
│   ├── ParseError         ... with the position
│   └── QueryLimitError    ... too many samples or too slow (HTTP 422 / 503)
├── StorageError           a store cannot read or write
│   └── UnknownSeriesError a layout or reference was unused for long; register its series again
├── DeliveryError          a sink or receiver took nothing; ``retryable`` says whether to try again
└── DiscoveryError         a runtime cannot be asked which tasks it has
"""

from collections.abc import Sequence

from msgspec import Struct


class TaskscopeError(Exception):
    """The root: whatever Taskscope raises on purpose."""


class OperatorError(TaskscopeError):
    """An operator asked for something that cannot be; the message says what would be right."""


class Problem(Struct, frozen=True):
    """One thing wrong in a file that an operator wrote.

    Attributes:
        file: Path as the operator gave it.
        line: From 1; 0 where no line can be named.
        column: From 1; 0 where no column can be named.
        key: Dotted path of the setting, or "".
        message: What is wrong; then, after a semicolon, what would be right.
    """

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        """Render as ``file:line:col: key: message``."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(OperatorError):
    """A file does not say what it must; all its problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class QueryError(TaskscopeError):
    """A query cannot be evaluated."""


class ParseError(QueryError):
    """A query cannot be parsed.

    Attributes:
        start: Offset of the first offending character in the query text.
        end: Offset behind the last one.
    """

    def __init__(self, message: str, start: int = 0, end: int = 0) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


class QueryLimitError(QueryError):
    """A query asked for more than its limits allow.

    Attributes:
        timeout: True where it ran too long (HTTP 503), False where it was too large (422).
    """

    def __init__(self, message: str, *, timeout: bool = False) -> None:
        super().__init__(message)
        self.timeout = timeout


class StorageError(TaskscopeError):
    """A store cannot read or write; the message names the file."""


class UnknownSeriesError(StorageError):
    """A layout or reference was not used for so long that the store forgot it; register its series again."""


class DeliveryError(TaskscopeError):
    """Nothing of a delivery was taken.

    Attributes:
        retryable: True for time-outs, 429, 5xx; False for 401 and the like.
        retry_after_seconds: What the far side asked for, if it did.
    """

    def __init__(
        self, message: str, *, retryable: bool, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


class DiscoveryError(TaskscopeError):
    """A runtime cannot be asked which tasks it has."""


def reason_of(error: BaseException) -> str:
    """Return an exception's own words, without ``[Errno 28]`` in front."""
    words = error.strerror if isinstance(error, OSError) else ""
    return words or str(error) or type(error).__name__

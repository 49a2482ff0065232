"""What the rest of Taskscope knows of a store: columns in, columns out.

Metrics: ``Appendable -> Appender`` on the way in, ``Queryable -> SeriesSet`` on the way out.
Logs: ``LogStore`` in, ``LogReader`` out. Times of samples are ms, times of log records ns, both
since the epoch in UTC; ranges are closed. Arrays that a store hands out belong to the store and
must not be written to. All methods may be called from any thread.
"""

from collections.abc import Iterator, Mapping, Sequence
from threading import Event
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.catalog.metric import MetricType
from model.errors import StorageError
from model.histogram.pool import HistogramColumn
from model.labels import Labels, LabelTable, Matcher
from model.log import Delivery, LogBatch
from model.samples import Exemplar, Floats, Ints, ScrapeBatch, Ticket

Refs = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]

TS_PAD: Final = np.iinfo(np.int64).max  # behind the last timestamp of a shorter row

# ---------------------------------------------------------------- metrics, reading


class Hints(Struct, frozen=True):
    """What the caller will do with the answer, so that a store can leave out what is not looked at.

    Hints never change the result of a query.

    Attributes:
        step_ms: Step of the range query, 0 for an instant query.
        range_ms: Length of the range selector, 0 for an instant selector.
        func: Function or aggregation around the selector, "" for none.
        grouping: Labels of that aggregation.
        by: True for ``by``, False for ``without``.
        last_only: True if only the last sample of each series in the range is looked at; the others
            may be left out.
        series_only: True if only labels are wanted; groups may then be empty.
    """

    step_ms: int = 0
    range_ms: int = 0
    func: str = ""
    grouping: tuple[str, ...] = ()
    by: bool = False
    last_only: bool = False
    series_only: bool = False


class Group(Struct, frozen=True):
    """Series that share their timestamps, as the series of one target do (k series, g timestamp rows).

    Attributes:
        rows: int32, shape (k,): row of each series in the set's LabelTable.
        ts_ms: int64, shape (g, T), strictly rising in each row; shorter rows end in TS_PAD.
        ts_row: int32, shape (k,): which row of ``ts_ms`` belongs to a series.
        values: float64, shape (k, T); NO_SAMPLE where a series has none, stale markers kept.
        dense: True if no value before the padding is NO_SAMPLE or a stale marker.
        histograms: Native histograms, index of shape (k, T); a series has a float or a histogram at one
            time, and NO_SAMPLE in ``values`` where it has a histogram. None if no series has any.
            Hints are GAUGE or RESET where they came so, else UNKNOWN for the first histogram of a
            series and behind a float, RESET or NOT_RESET against the histogram before it.
        start_ms: int64, shape (k, T), start timestamps, 0 for none; None if no series has any.
    """

    rows: Rows
    ts_ms: Ints
    ts_row: Rows
    values: Floats
    dense: bool = False
    histograms: HistogramColumn | None = None
    start_ms: Ints | None = None


class SeriesSet(Struct, frozen=True):
    """The answer to a select. Each row of ``labels`` is in exactly one group; ``__name__`` is a label like any."""

    labels: LabelTable
    groups: tuple[Group, ...]


class Metadata(Struct, frozen=True):
    """What an exposition says of a metric family."""

    type: MetricType | str
    help: str
    unit: str


class SeriesExemplars(Struct, frozen=True):
    """The exemplars of one series, in time order."""

    labels: Labels
    exemplars: tuple[Exemplar, ...]


class Queryable(Protocol):
    """Gives samples back, in columns."""

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        """Return every series that passes all matchers and has a sample in [mint, maxt].

        Each series' samples are complete within the range (as far as ``hints`` do not allow
        leaving some out), in time order, without duplicates; later appends win over earlier ones
        with the same time.

        Raises:
            StorageError: If a block on disk cannot be read.
        """
        ...

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        """Return the sorted label names of the series that match; all series without matchers."""
        ...

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        """Return the sorted values of one label among the series that match."""
        ...

    def metadata(self, metric: str = "") -> Mapping[str, Metadata]:
        """Return what is known of one metric family, or of all."""
        ...


class ExemplarQueryable(Protocol):
    """Gives exemplars back."""

    def exemplars(
        self, matcher_sets: Sequence[Sequence[Matcher]], mint: int, maxt: int
    ) -> Sequence[SeriesExemplars]:
        """Return the exemplars in [mint, maxt] of series that pass all matchers of any set, by labels.

        Raises:
            QueryError: If a regular expression is not valid RE2.
        """
        ...


# ---------------------------------------------------------------- metrics, writing


class Written(Struct, frozen=True):
    """How much of what somebody sent was stored."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0


class BadWriteError(StorageError, ValueError):
    """Something sent will never be right, so that the sender must not try again (HTTP 400).

    Attributes:
        written: What was stored all the same.
        refused: How many samples were not.
    """

    def __init__(self, message: str, written: Written | None = None, refused: int = 0) -> None:
        super().__init__(message)
        self.written = written or Written()
        self.refused = refused


class Appender(Protocol):
    """Takes samples. Out-of-order and old samples (from 1970 on) are taken too."""

    def layout(self, labels: Sequence[Labels]) -> int:
        """Register the series of one target, in order, and return the layout's id.

        The same sequence always gives the same id as long as the layout is in use. A target that
        gains or loses series registers a new layout; a series keeps its identity by its labels.

        Raises:
            StorageError: If the store's limit of series is reached.
        """
        ...

    def append(self, batch: ScrapeBatch) -> Ticket:
        """Take one scrape. Scrapes of one layout come in time order; see ``append_samples`` otherwise.

        Raises:
            UnknownSeriesError: If the layout was not used for so long that the store forgot it.
            StorageError: If the store cannot take it.
        """
        ...

    def series(self, labels: Sequence[Labels]) -> Refs:
        """Return a reference for each series, making those that are new.

        A reference is good for as long as it is used now and then: the store may forget series
        that nothing was appended to for an hour or more.

        Raises:
            StorageError: If the store's limit of series is reached.
        """
        ...

    def append_samples(
        self,
        refs: Refs,
        ts_ms: Ints,
        values: Floats,
        *,
        start_ms: Ints | None = None,
        histograms: HistogramColumn | None = None,
    ) -> Ticket:
        """Take samples with their own timestamps; all arrays have shape (n,).

        A sample replaces an earlier one with the same series and time, whatever their kinds.

        Args:
            refs: What ``series`` returned.
            ts_ms: When.
            values: The floats; NO_SAMPLE where the sample is a histogram.
            start_ms: Start timestamps, 0 for none.
            histograms: Native histograms; ``index`` is -1 where the sample is a float. Of their
                hints GAUGE and RESET are kept; the store finds the others out. A histogram that
                went stale is a stale marker in ``values``.
        """
        ...

    def append_exemplars(self, refs: Refs, exemplars: Sequence[Exemplar]) -> Ticket:
        """Take exemplars, one for each ref.

        Those that are there already, or older than the newest of their series, are left out.
        """
        ...

    def set_metadata(self, metadata: Mapping[str, Metadata]) -> None:
        """Remember what an exposition says of its metric families."""
        ...


class SeriesDeleter(Protocol):
    """Takes samples away on request."""

    def delete_series(
        self, matcher_sets: Sequence[Sequence[Matcher]], mint: int, maxt: int
    ) -> None:
        """Delete the samples in [mint, maxt] of every series that passes all matchers of one set.

        When it returns they are gone from every answer, also after a crash. Samples that are
        appended afterwards are seen, also inside the range. Room on disk is given back later.

        Raises:
            StorageError: If it cannot be made durable; nothing is deleted then.
            QueryError: If a regular expression is not valid RE2.
        """
        ...

    def clean_tombstones(self) -> None:
        """Give the room on disk back that deleted samples take, now.

        Raises:
            StorageError: If a block cannot be written.
        """
        ...


# ---------------------------------------------------------------- logs


class LogQuery(Struct, frozen=True):
    """A search over log records.

    Attributes:
        text: In Taskscope's log query language (``storage.logquery``), "" for every record.
        start_ns: First time looked at.
        end_ns: Last time looked at.
        limit: Most records returned.
        ascending: Oldest first if True, else newest first.
        cursor: ``LogPage.cursor`` of the page before, to go on behind it; "" for the first page.
    """

    text: str = ""
    start_ns: int = 0
    end_ns: int = 2**63 - 1
    limit: int = 200
    ascending: bool = False
    cursor: str = ""


class LogRecord(Struct, frozen=True):
    """One record as stored: the document id and the ECS document with dotted names (``{"log.level": "error"}``)."""

    id: str
    ts_ns: int
    document: Mapping[str, Any]


class LogPage(Struct, frozen=True):
    """Some records in the order asked for, and the cursor behind the last ("" at the end of a search)."""

    records: tuple[LogRecord, ...]
    cursor: str


class LogContext(Struct, frozen=True):
    """A record and its neighbours of the same task, oldest first; fewer than asked for where they begin or end."""

    before: tuple[LogRecord, ...]
    record: LogRecord
    after: tuple[LogRecord, ...]


class FacetValue(Struct, frozen=True):
    """A value of a field, as text, and how many of the records found have it."""

    value: str
    count: int


class LogStore(Protocol):
    """Keeps log records; at least once in, once stored (by document id)."""

    def append(self, batch: LogBatch) -> tuple[Delivery, Ticket]:
        """Take one batch; its source's checkpoint may move once the ticket's ``wait`` returned True.

        Raises:
            DeliveryError: If nothing could be taken (disk full); retryable.
        """
        ...


class LogReader(Protocol):
    """Finds log records."""

    def search(self, query: LogQuery) -> LogPage:
        """Return one page.

        Raises:
            ParseError: If the query text cannot be parsed; with its position.
            StorageError: If the store cannot be read.
        """
        ...

    def tail(self, text: str, cursor: str, stop: Event) -> Iterator[LogPage]:
        """Yield new records as they are stored (within 1 s), oldest first, until ``stop`` is set.

        Starts behind ``cursor``; "" starts with records stored from now on. An empty page is
        yielded at least every 15 s, so that the caller can see whether anybody still listens.
        """
        ...

    def histogram(
        self, query: LogQuery, buckets: int
    ) -> tuple[Ints, Mapping[str, npt.NDArray[np.int64]]]:
        """Count records over time by level.

        Returns:
            Bucket starts in ns, and by ``log.level`` ("" for none) the counts; shapes (buckets,).
        """
        ...

    def context(
        self, record_id: str, ts_ns: int, *, before: int = 20, after: int = 20
    ) -> LogContext:
        """Return a record with its neighbours of the same task, in the order of every search.

        Args:
            record_id: ``LogRecord.id``.
            ts_ns: Its time.
            before: Most records before it.
            after: Most records behind it.

        Raises:
            QueryError: If there is no such record.
            StorageError: If the store cannot be read.
        """
        ...

    def facets(
        self, query: LogQuery, fields: Sequence[str], limit: int = 10
    ) -> Mapping[str, tuple[FacetValue, ...]]:
        """Return the most frequent values of some fields among the records found.

        Args:
            query: Which records; ``limit``, ``cursor`` and direction mean nothing here.
            fields: Names as in queries (``level``, ``fields.status``); not ``message``, ``@timestamp``.
            limit: Most values of each field.

        Returns:
            By name as asked for, the most frequent first; above 10,000 values counts may be too low.

        Raises:
            ParseError: If the query cannot be parsed.
            QueryError: If there can be no such field.
            StorageError: If the store cannot be read.
        """
        ...

"""What the log store promises, over records in memory, in segments, and in both."""

from collections.abc import Callable, Iterator
from threading import Event

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import ParseError, QueryError
from model.log import Flag, LogBatch
from storage.interface import LogQuery, LogRecord
from storage.logdb.logdb import LogDb
from storage.logquery import parse
from storage.logquery.match import compile_node
from tests.storage.logdb.logs import SECOND, START_NS, find, make_batch, make_db

BATCHES = (
    make_batch(
        [
            "GET /orders refused by shop",
            "Connection: REFUSED (größe=12)",
            "connection-pool ok",
            "=== start ===",
        ],
        levels=["info", "error", "warn", ""],
        fields=[
            '{"status":500,"path":"/orders","a":{"b":["x",7,null,{"c":1}]},"ok":true}',
            '{"status":"404","a.b":"z","note":""}',
            '{"status":1.5,"nothing":null}',
            "no json {",
        ],
        flags=np.array([0, Flag.MULTILINE, Flag.REDACTED | Flag.TRUNCATED, 0], dtype=np.uint8),
        trace_ids={1: "ab" * 16},
        tags={"service.version": "1.2"},
    ),
    make_batch(
        ["refused", "line\nCaused by: refused_twice", "200"], task="shop-2", stream="stderr"
    ),
    make_batch([b"bad \xff\xfe byte", "weiter unten"], task="w-1", app="worker", run=0),
)


@pytest.fixture(scope="module", params=["recent", "sealed", "mixed", "restarted", "segments"])
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogDb]:
    """A store that holds BATCHES, in every way it can hold them; tests only read it."""
    tmp_path = tmp_path_factory.mktemp("logs")
    store = make_db(tmp_path / "logs")
    store.start()
    for i, batch in enumerate(BATCHES):
        store.append(batch)
        if (request.param == "mixed" and i == 1) or request.param == "segments":
            store.seal()
    if request.param == "sealed":
        store.seal()
    if request.param == "restarted":
        store.stop()
        store = make_db(tmp_path / "logs")
        store.start()
    yield store
    store.stop()


ALL = [batch.text(i) for batch in BATCHES for i in range(len(batch))]
REFUSED = ["GET /orders refused by shop", "Connection: REFUSED (größe=12)", "refused"]


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ("", ALL),
        ("refused", REFUSED),
        ("REFUSED", REFUSED),
        ('"connection refused"', ["Connection: REFUSED (größe=12)"]),
        ("connection-refused", ["Connection: REFUSED (größe=12)"]),
        ("refus", []),
        ("refus*", [*REFUSED, "line\nCaused by: refused_twice"]),
        ("*twice", ["line\nCaused by: refused_twice"]),
        ("gr??e", ["Connection: REFUSED (größe=12)"]),
        ("GRÖSSE", []),
        ("GRÖßE", ["Connection: REFUSED (größe=12)"]),
        ("gr", []),
        ('"==="', ["=== start ==="]),
        ("/Caused.by/", ["line\nCaused by: refused_twice"]),
        ("/refused$/", ["refused"]),
        ("-refused", [t for t in ALL if t not in REFUSED]),
        ("app:worker", ["bad \ufffd\ufffd byte", "weiter unten"]),
        ("app:(worker OR shop) 200", ["200"]),
        ("app:work* byte", ["bad \ufffd\ufffd byte"]),
        ("app:work", []),
        ("app:WORKER", []),
        ("task_id:/shop-2.*/ refused", ["refused"]),
        ("stream:stderr", ["refused", "line\nCaused by: refused_twice", "200"]),
        ("level:error", ["Connection: REFUSED (größe=12)"]),
        ("level:>=warn", ["Connection: REFUSED (größe=12)", "connection-pool ok"]),
        ("level:none app:worker", ["bad \ufffd\ufffd byte", "weiter unten"]),
        ("level:w*", ["connection-pool ok"]),
        ("-level:* stream:stdout", ["=== start ===", "bad \ufffd\ufffd byte", "weiter unten"]),
        ("fields.status:500", ["GET /orders refused by shop"]),
        ("fields.status:404", ["Connection: REFUSED (größe=12)"]),
        ("fields.status:>=404", ["GET /orders refused by shop", "Connection: REFUSED (größe=12)"]),
        ("fields.status:[1 TO 2}", ["connection-pool ok"]),
        ("fields.status:>abc", []),
        ("fields.path:>/a", ["GET /orders refused by shop"]),
        ("fields.path:/o*", ["GET /orders refused by shop"]),
        ("fields.a.b:x", ["GET /orders refused by shop"]),
        ("fields.a.b:7", ["GET /orders refused by shop"]),
        ("fields.a.b:7.0", []),
        ("fields.a.b.c:1", ["GET /orders refused by shop"]),
        ("fields.status:1.5", ["connection-pool ok"]),
        ("fields.status:1.*", ["connection-pool ok"]),
        ("status:>=500", ["GET /orders refused by shop"]),
        ("a.b:x", ["GET /orders refused by shop"]),
        ("fields.a.b:z", ["Connection: REFUSED (größe=12)"]),
        ("fields.a.b:*", ["GET /orders refused by shop", "Connection: REFUSED (größe=12)"]),
        ("fields.a:*", []),
        ("fields.ok:true", ["GET /orders refused by shop"]),
        ("fields.note:*", []),
        ("fields.nothing:*", []),
        ("-fields.status:* level:none app:shop stream:stdout", ["=== start ==="]),
        ("run:1 app:worker", []),
        ("run:* 200", ["200"]),
        ("-run:*", ["bad \ufffd\ufffd byte", "weiter unten"]),
        ("log.offset:0 -app:worker", ["GET /orders refused by shop", "refused"]),
        ("log.offset:<8 stream:stderr", ["refused"]),
        (f"trace_id:{'ab' * 16}", ["Connection: REFUSED (größe=12)"]),
        ("trace_id:*", ["Connection: REFUSED (größe=12)"]),
        ("log.flags:multiline", ["Connection: REFUSED (größe=12)"]),
        ("log.flags:(redacted truncated)", ["connection-pool ok"]),
        ("service.version:1.2 ok", ["connection-pool ok"]),
        ("-service.version:* 200", ["200"]),
        ("@timestamp:>=2026-01-01T00:00:03Z", ["=== start ==="]),
        ("@timestamp:<2026-01-01T00:00:01Z stream:stderr", ["refused"]),
        ("byte OR 200", ["bad \ufffd\ufffd byte", "200"]),
        ("no.such.field:x OR 200", ["200"]),
    ],
)
def test_query_finds(db: LogDb, query: str, want: list[str]) -> None:
    """Each query finds the same records wherever they are."""
    assert sorted(find(db, query)) == sorted(want)


def test_documents_are_ecs(db: LogDb) -> None:
    """A record comes out as an ECS document with dotted names and nanoseconds."""
    page = db.search(LogQuery("level:error"))

    (record,) = page.records
    assert record.ts_ns == START_NS + SECOND
    assert record.document == {
        "@timestamp": "2026-01-01T00:00:01.000000000Z",
        "message": "Connection: REFUSED (größe=12)",
        "log.level": "error",
        "taskscope.source": record.document["taskscope.source"],
        "log.offset": 28,
        "log.flags": ["multiline"],
        "orchestrator.cluster.name": "test",
        "host.name": "host-1",
        "orchestrator.type": "docker",
        "orchestrator.namespace": "default",
        "service.name": "shop",
        "taskscope.task.name": "shop-1",
        "taskscope.task.id": "shop-1-id",
        "container.id": "5" * 64,
        "container.name": "shop-1",
        "container.image.name": "shop:1",
        "taskscope.stream": "stdout",
        "taskscope.task.run": 1,
        "event.dataset": "task",
        "event.created": "2026-01-01T00:00:00.000000000Z",
        "trace.id": "ab" * 16,
        "service.version": "1.2",
        "fields.status": "404",
        "fields.a.b": "z",
        "fields.note": "",
    }


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 4, 100])
def test_pages_give_every_record_once_in_order(db: LogDb, limit: int, ascending: bool) -> None:
    """Following the cursors gives each record once, in the order of time, and then ends."""
    seen: list[LogRecord] = []
    cursor = ""
    for _ in range(20):
        page = db.search(LogQuery(limit=limit, ascending=ascending, cursor=cursor))
        assert len(page.records) <= limit
        seen += page.records
        cursor = page.cursor
        if not cursor:
            break

    times = [record.ts_ns for record in seen]
    assert sorted(record.document["message"] for record in seen) == sorted(ALL)
    assert len({record.id for record in seen}) == len(ALL)
    assert times == sorted(times, reverse=not ascending)
    assert cursor == ""


def test_time_range_is_closed(db: LogDb) -> None:
    """A search looks at the first and the last nanosecond it was told."""
    at = START_NS + 2 * SECOND

    assert sorted(find(db, start_ns=at, end_ns=at)) == ["200", "connection-pool ok"]
    assert find(db, start_ns=at + 1, end_ns=at + 2) == []


def test_histogram_counts_by_level(db: LogDb) -> None:
    """Counts are by bucket and level, over the range asked for."""
    query = LogQuery("", start_ns=START_NS, end_ns=START_NS + 4 * SECOND - 1)

    edges, counts = db.histogram(query, 4)

    assert edges.tolist() == [START_NS + i * SECOND for i in range(4)]
    assert {level: column.tolist() for level, column in counts.items()} == {
        "": [2, 2, 1, 1],
        "info": [1, 0, 0, 0],
        "warn": [0, 0, 1, 0],
        "error": [0, 1, 0, 0],
    }


def test_histogram_of_open_range_covers_what_there_is(db: LogDb) -> None:
    """Without a range the histogram spans the first to the last record."""
    edges, counts = db.histogram(LogQuery("refused"), 2)

    assert edges[0] == START_NS
    assert sum(int(column.sum()) for column in counts.values()) == 3


def test_tail_from_the_beginning_gives_all_in_the_order_of_storing(db: LogDb) -> None:
    """A tail behind the very first place gives every record once, batch after batch."""
    stop = Event()
    seen: list[str] = []
    for page in db.tail("", "t0.0", stop):
        seen += [record.document["message"] for record in page.records]
        if len(seen) >= len(ALL):
            stop.set()

    assert seen == ALL


def test_tail_behind_a_search_gives_the_rest(db: LogDb) -> None:
    """The cursor of an ascending search can be followed by a tail."""
    first = db.search(LogQuery(limit=4, ascending=True))
    stop = Event()
    seen = [record.id for record in first.records]
    for page in db.tail("", first.cursor, stop):
        seen += [record.id for record in page.records]
        if len(seen) >= len(ALL):
            stop.set()

    assert len(set(seen)) == len(seen) == len(ALL)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(lambda db: db.search(LogQuery("lvel:x")), ParseError, id="field"),
        pytest.param(lambda db: db.histogram(LogQuery("(a"), 3), ParseError, id="histogram"),
        pytest.param(lambda db: db.tail("(a", "", Event()), ParseError, id="tail"),
        pytest.param(lambda db: db.search(LogQuery(cursor="x1")), QueryError, id="cursor"),
        pytest.param(lambda db: db.search(LogQuery(cursor="t1.2")), QueryError, id="tail's cursor"),
        pytest.param(lambda db: db.tail("", "s1", Event()), QueryError, id="short cursor"),
    ],
)
def test_wrong_queries_are_refused_at_once(
    db: LogDb, call: Callable[[LogDb], object], error: type[Exception]
) -> None:
    """A query or cursor that is none is refused when asked, not later."""
    with pytest.raises(error):
        call(db)


WORDS = st.sampled_from(["alpha", "Beta", "beta_2", "größe", "7", "a.b", "x-y", "ÄB"])
LINES = st.lists(WORDS, max_size=4).map(" ".join)
OWN = st.sampled_from(["", '{"n":5}', '{"n":"5"}', '{"n":[1,"beta"]}', '{"s":"beta"}', "[1]", "{"])
RECORDS = st.lists(
    st.tuples(LINES, OWN, st.sampled_from(["", "info", "error"])), min_size=1, max_size=8
)
LEAVES = st.one_of(
    WORDS,
    st.lists(WORDS, min_size=1, max_size=2).map(lambda w: f'"{" ".join(w)}"'),
    st.sampled_from(
        [
            "be*",
            "?eta",
            "/b.ta/",
            "level:info",
            "level:>info",
            "fields.n:5",
            "fields.n:>1",
            "fields.n:*",
            "fields.s:b*",
            "app:shop",
            "stream:s*",
            "run:1",
            "task_id:x",
        ]
    ),
)
QUERIES = st.recursive(
    LEAVES,
    lambda q: st.one_of(
        st.tuples(q, q).map(lambda p: f"({p[0]} {p[1]})"),
        st.tuples(q, q).map(lambda p: f"({p[0]} OR {p[1]})"),
        q.map(lambda one: f"-{one}"),
    ),
    max_leaves=4,
).filter(lambda q: "--" not in q)


def _batch(records: list[tuple[str, str, str]], n: int) -> LogBatch:
    return make_batch(
        [line for line, _, _ in records],
        fields=[own for _, own, _ in records],
        levels=[level for _, _, level in records],
        task=f"shop-{n}",
    )


@given(st.lists(RECORDS, min_size=1, max_size=3), st.lists(QUERIES, min_size=1, max_size=6))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_memory_segments_and_plain_matching_agree(
    tmp_path_factory: pytest.TempPathFactory,
    lots: list[list[tuple[str, str, str]]],
    queries: list[str],
) -> None:
    """Any query finds the same in memory, in segments, and document by document."""
    store = make_db(tmp_path_factory.mktemp("logs"))
    store.start()
    try:
        for n, records in enumerate(lots):
            store.append(_batch(records, n))
        everything = store.search(LogQuery(limit=1000)).records
        in_memory = [{r.id for r in store.search(LogQuery(q)).records} for q in queries]
        store.seal()
        in_segments = [{r.id for r in store.search(LogQuery(q)).records} for q in queries]
    finally:
        store.stop()

    for query, memory, segments in zip(queries, in_memory, in_segments, strict=True):
        test = compile_node(parse(query))
        slow = {record.id for record in everything if test(record.document)}
        assert memory == slow, query
        assert segments == slow, query


def test_context_gives_the_neighbours_of_the_task(db: LogDb) -> None:
    """The records of the same task before and behind one, in the order of a search, and no others."""
    (record,) = db.search(LogQuery('"connection pool"')).records

    near = db.context(record.id, record.ts_ns, before=1, after=5)
    none = db.context(record.id, record.ts_ns, before=0, after=0)

    assert [r.document["message"] for r in near.before] == ["Connection: REFUSED (größe=12)"]
    assert near.record == record
    assert [r.document["message"] for r in near.after] == ["=== start ==="]
    assert (none.before, none.record, none.after) == ((), record, ())


@pytest.mark.parametrize(
    "record_id", ["", "xyz", "0" * 17, "no such id of a record", "ffffffffffffffff0"]
)
def test_context_of_nothing_is_refused(db: LogDb, record_id: str) -> None:
    """An id that no record has is said to be none."""
    with pytest.raises(QueryError, match=r"no id|no such record"):
        db.context(record_id, START_NS)


def test_facets_count_values(db: LogDb) -> None:
    """The most frequent values first, then in the order of text; absent and empty values nowhere."""
    names = ["app", "level", "fields.status", "a.b", "run", "log.flags", "service.version", "note"]

    facets = db.facets(LogQuery(), names)
    few = db.facets(LogQuery("app:shop", end_ns=START_NS + SECOND), ["task_name"], 1)

    counts = {name: [(v.value, v.count) for v in values] for name, values in facets.items()}
    assert counts == {
        "app": [("shop", 7), ("worker", 2)],
        "level": [("error", 1), ("info", 1), ("warn", 1)],
        "fields.status": [("1.5", 1), ("404", 1), ("500", 1)],
        "a.b": [("7", 1), ("x", 1), ("z", 1)],
        "run": [("1", 7)],
        "log.flags": [("multiline", 1), ("redacted", 1), ("truncated", 1)],
        "service.version": [("1.2", 4)],
        "note": [],
    }
    assert [(v.value, v.count) for v in few["task_name"]] == [("shop-1", 2)]


@pytest.mark.parametrize("name", ["message", "@timestamp", "lvel", "event.created"])
def test_facets_of_what_cannot_be_counted_are_refused(db: LogDb, name: str) -> None:
    """A field that cannot be, or whose values are all different, is refused with a sentence."""
    with pytest.raises(QueryError):
        db.facets(LogQuery(), [name])

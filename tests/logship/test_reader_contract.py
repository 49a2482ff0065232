"""One query language: the embedded store and a real Elasticsearch give the same answers, record by record.

Both get the same batches, one through ``append``, the other through the sink. Compared are the
documents in their order, pages, counts over time, facets and neighbours.
"""

import os
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from logship.reader.elasticsearch import ElasticsearchLogReader
from logship.sink.elasticsearch.client import Connection
from logship.sink.elasticsearch.sink import ElasticsearchSink
from model.errors import QueryError
from model.log import Flag, LogBatch
from storage.interface import LogQuery, LogReader, LogRecord
from storage.logdb.logdb import LogDb
from tests.storage.logdb.logs import SECOND, START_NS, make_batch, make_db

pytestmark = pytest.mark.elasticsearch

URL = f"http://127.0.0.1:{os.environ.get('TASKSCOPE_TEST_ES_PORT', '19200')}"
DATASET = "logdbcontract"
BATCHES = (
    make_batch(
        [
            "GET /orders refused by shop",
            "Connection: REFUSED (größe=12) at 10.1.2.3:8080",
            "connection-pool ok, can't say more",
            "=== start ===",
            "java.lang.IllegalStateException: pool is refused",
            "\u212am of cable, \u0130zmir, ΣΊΣΥΦΟΣ",
        ],
        levels=["info", "error", "warn", "", "fatal", "debug"],
        fields=[
            '{"status":500,"path":"/orders","a":{"b":["x",7,null,{"c":1}]},"ok":true}',
            '{"status":"404","a.b":"z","note":"","trace":"abc-12"}',
            '{"status":1.50,"nothing":null,"big":123456789012345678901234567890}',
            '{"status":-0,"dur":1e3,"a":{"b":{"c":[{"d":"deep"},{"d":"deeper"}]}}}',
            '{"status":"high","path":"/orders/7","quote":"say \\"hi\\"","wild":"a*b?c\\\\d"}',
            "",
        ],
        flags=np.array(
            [0, Flag.MULTILINE, Flag.REDACTED | Flag.TRUNCATED, 0, 0, 0], dtype=np.uint8
        ),
        trace_ids={1: "ab" * 16, 4: "cd" * 16},
        tags={"service.version": "1.2", "event.reason": "a b"},
    ),
    make_batch(
        ["refused", "line\nCaused by: refused_twice", "200", "日志refused系统 テスト"],
        task="shop-2",
        stream="stderr",
        seconds=[0, 1, 1, 1],
    ),
    # the same moments in other files: the file decides, then the offset
    make_batch(["twin one", "twin two", "refused"], task="shop-3", source="b", seconds=[1, 1, 1]),
    make_batch(["twin one", "twin two", "refused"], task="shop-3", source="a", seconds=[1, 1, 1]),
    make_batch(["weiter unten", "byte \ufffd"], task="w-1", app="worker", run=0, seconds=[7, 3]),
)
QUERIES = [
    "", "refused", "REFUSED", '"connection refused"', "connection-refused", "connection-pool", "refus", "refus*",
    "*twice", "gr??e", "GRÖßE", "gr", '"==="', "/Caused.by/", "/refused$/", "-refused", "NOT (refused OR ok)",
    "lang", '"java lang"', '"lang illegalstateexception"', "can't", "t", '"10 1"', "10.1.2.3", "8080", "km", "izmir",
    "σίσυφοσ", "ΣΊΣΥΦΟΣ", "日志", "志", "refused系统", "テスト", "テ*", "?", "日*", "*", '"1 2"', "refused_*", "re*ed",
    'refused "caused by"', "refused OR 200 level:error", "app:worker", "app:(worker OR shop) 200", "app:work*", "app:work",
    "app:WORKER", "app:/w.*/", "app:>shop", "app:[a TO t]", "app:>5", "task_id:/shop-2.*/ refused", "task_name:shop-?",
    "stream:stderr", "level:error", "level:>=warn", "level:none", "level:w*", "level:/.*r.*/", "-level:*", "status:500",
    "status:>=500", "fields.status:404", "status:>=404", "status:[1 TO 2}", "status:1.5", "status:1.50", "status:1.*",
    "status:<=0", "status:/[0-9]+/", "status:>abc", "status:[400 TO zzz]", "-status:*", "status:*", "path:>/a", "path:/o*",
    'path:"/orders"', "path:*7", "a.b:x", "a.b:7", "a.b:z", "a.b:*", "a:*", "a.b.c:1", "a.b.c.d:deep", "a.b.c.d:deep*",
    "ok:true", "note:*", 'note:""', "nothing:*", "big:123456789012345678901234567890", "big:>1", "dur:1e3", "dur:1000",
    "dur:>=1000", "dur:[999 TO 1000]", 'quote:"say \\"hi\\""', "wild:a\\*b*", "trace:abc-12", "run:1", "run:>=1", "run:<1",
    "run:01 app:worker", "-run:*", "run:*", "log.offset:0", "log.offset:<28", "log.offset:[28 TO 100]", f"trace_id:{'ab' * 16}",
    "trace.id:cd*", "trace_id:*", "log.flags:multiline", "log.flags:(redacted truncated)", "log.flags:/.*t.*/", "-log.flags:*",
    "service.version:1.2 ok", "service.version:1*", "-service.version:*", 'event.reason:"a b"', "event.reason:a*",
    "event.reason:/a.b/", "@timestamp:>=2026-01-01T00:00:03Z", "@timestamp:<2026-01-01T00:00:01.000000001Z stream:stderr",
    "@timestamp:{2026-01-01T00:00:00.999999999Z TO 2026-01-01T00:00:01Z]", "no.such.field:x OR 200", "host:host-1 image:shop:1",
    "container.name:shop*", '-"connection refused" level:>=error', "NOT /refused/ app:shop", "(refused OR /pool/) -status:500",
    "level:>fatal", "-level:>fatal", "dataset:logdb*", "_*", "twin", '"twin two"',
]  # fmt: skip


class Both(Struct):
    """The two stores with the same records."""

    embedded: LogDb
    elastic: ElasticsearchLogReader
    sink: ElasticsearchSink
    index: str

    def store(self, batches: Sequence[LogBatch]) -> None:
        """Bring batches to both, searchable when this returns."""
        for batch in batches:
            self.embedded.append(batch)
        for delivery in self.sink.write(batches, 30):
            assert set(delivery.status.tolist()) == {201}, delivery.reasons
        _call("POST", f"/{self.index}/_refresh")


def _call(method: str, path: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(URL + path, method=method), timeout=30):
        pass


@pytest.fixture(scope="module", params=["asked", "as it was"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    """Both stores; Elasticsearch with our way to cut words, and with the one it has by itself."""
    name = f"n{time.time_ns():x}"
    dataset = DATASET + ("2" if request.param == "as it was" else "")
    db = make_db(tmp_path_factory.mktemp("logs"))
    db.start()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "as it was":
            patch.setattr("logship.sink.elasticsearch.server.analysis", lambda client: {})
        connection = Connection((URL,))
        sink = ElasticsearchSink(connection, namespace=name, template_name=dataset)
        index = f"logs-{dataset}-{name}"
        reader = ElasticsearchLogReader(connection, indices=index)
        stores = Both(db, reader, sink, index)
        batches = [_of(batch, dataset) for batch in BATCHES]
        stores.store(batches[:2])
        db.seal()
        stores.store(batches[2:])
        yield stores
    _call("DELETE", f"/_data_stream/{index}")
    reader.close()
    sink.close()
    db.stop()


def _of(batch: LogBatch, dataset: str) -> LogBatch:
    from msgspec.structs import replace

    return replace(batch, dataset=dataset)


def documents(reader: LogReader, query: LogQuery) -> list[Mapping[str, Any]]:
    """Return the documents of all pages, in their order."""
    found: list[LogRecord] = []
    while True:
        page = reader.search(query)
        found += page.records
        if not page.cursor:
            return [_plain(record) for record in found]
        query = LogQuery(
            query.text, query.start_ns, query.end_ns, query.limit, query.ascending, page.cursor
        )


def _plain(record: LogRecord) -> Mapping[str, Any]:
    """Return a document without what each store has for itself."""
    return {k: v for k, v in record.document.items() if k != "ecs.version"}


@pytest.mark.parametrize("query", QUERIES)
def test_same_records_in_the_same_order(both: Both, query: str) -> None:
    """Documents and their order are the same, in both directions."""
    for ascending in (True, False):
        asked = LogQuery(query, ascending=ascending)
        assert documents(both.elastic, asked) == documents(both.embedded, asked)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 18])
@pytest.mark.parametrize("query", ["", "refused", '"twin one" OR status:>=404', "/o/"])
def test_same_pages(both: Both, query: str, limit: int) -> None:
    """Pages of any size put together are the same, ties across files included."""
    for ascending in (True, False):
        asked = LogQuery(query, limit=limit, ascending=ascending)
        assert documents(both.elastic, asked) == documents(both.embedded, asked)


@pytest.mark.parametrize(
    "span",
    [{}, {"start_ns": START_NS + SECOND}, {"start_ns": START_NS + 5, "end_ns": START_NS + SECOND}],
)
@pytest.mark.parametrize("query", ["", "refused", "level:>=warn", '"java lang" OR /twin/', "app:x"])
def test_same_counts(both: Both, query: str, span: dict[str, int]) -> None:
    """Histogram and facets count the same, also what Elasticsearch cannot tell by its index."""
    asked = replace(LogQuery(query), **span)
    names = ["level", "app", "task_name", "run", "log.flags", "status", "a.b", "event.reason"]
    answers = []
    for reader in (both.elastic, both.embedded):
        edges, counts = reader.histogram(asked, 7)
        columns = {level: column.tolist() for level, column in counts.items() if column.any()}
        answers.append((edges.tolist(), columns, reader.facets(asked, names, 3)))

    assert answers[0] == answers[1]


@pytest.mark.parametrize("query", ["200", '"twin two"', "größe", "start", "unten"])
def test_same_neighbours(both: Both, query: str) -> None:
    """The records of the same task before and behind one are the same."""
    near = []
    for reader in (both.elastic, both.embedded):
        record = reader.search(LogQuery(query, ascending=True)).records[0]
        found = reader.context(record.id, record.ts_ns, before=2, after=3)
        near.append(
            [[_plain(r) for r in side] for side in (found.before, [found.record], found.after)]
        )

    assert near[0] == near[1]


@pytest.mark.parametrize("limit", [100, 2])
def test_time_range_is_closed_to_the_nanosecond(both: Both, limit: int) -> None:
    """The first and the last nanosecond count, on both."""
    at = START_NS + SECOND
    for start, end in ((at, at), (at + 1, at + 2 * SECOND), (at - 1, at - 1)):
        asked = LogQuery("", start_ns=start, end_ns=end, limit=limit)
        assert documents(both.elastic, asked) == documents(both.embedded, asked)


def test_no_such_record_is_said(both: Both) -> None:
    """An id that no record has is refused by both."""
    for reader in (both.elastic, both.embedded):
        with pytest.raises(QueryError):
            reader.context("0" * 20, START_NS)


PIECES = st.sampled_from(
    ["alpha", "Beta", "beta_2", "größe", "7", "7.5", "x", "ÄB", "日本", "ひ", "カナ", "\u212a9", "é", "a" * 40]
)  # fmt: skip
JOINS = st.sampled_from([" ", ".", "-", ":", "'", "_", "/", ", ", "", "\n", "·", "—", "\u200b"])
LINES = st.lists(st.tuples(PIECES, JOINS), min_size=1, max_size=5).map(
    lambda pairs: "".join(word + join for word, join in pairs)
)
SCALARS = st.sampled_from(
    ["5", '"5"', "5.0", "-0", "0.10", "1e2", '"beta"', '"be ta"', '""', "true", "null", '"\\u00e9"', "12345678901234567890"]
)  # fmt: skip
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3).map(lambda v: f"[{','.join(v)}]"),
    SCALARS.map(lambda v: f'{{"m":{v}}}'),
    SCALARS.map(lambda v: f'[{{"m":{v}}},{v}]'),
)
OWN = st.one_of(
    st.just(""),
    st.dictionaries(st.sampled_from(["n", "s", "n.m", "é"]), VALUES, max_size=3).map(
        lambda own: "{" + ",".join(f'"{key}":{value}' for key, value in own.items()) + "}"
    ),
)
RECORDS = st.lists(
    st.tuples(LINES, OWN, st.sampled_from(["", "info", "error"]), st.sampled_from([0, 0, 1, 2.5])),
    min_size=1,
    max_size=6,
)
WORDS = st.one_of(PIECES, LINES.map(lambda line: line.replace('"', "").strip()).filter(bool))
LEAVES = st.one_of(
    WORDS.map(lambda text: '"' + text.replace("\\", "\\\\") + '"'),
    PIECES.map(lambda word: word[:2] + "*"),
    PIECES.map(lambda word: "*" + word[-2:]),
    PIECES.map(lambda word: word[:1] + "?" + word[2:]),
    PIECES.map(lambda word: f"/{word.replace('.', '[.]')}/"),
    st.builds(
        lambda name, test: f"fields.{name}:{test}",
        st.sampled_from(["n", "s", "n.m", "m", "é"]),
        st.sampled_from(
            ["5", "5.0", ">=5", "<5", "[0 TO 100]", "*", "be*", "?eta", "/b.*/", ">b", '"be ta"', '""', "true", "é", "{a TO c]"]
        ),
    ),
    st.sampled_from(["level:info", "level:>info", "level:none", "run:1", "log.offset:>=9", "stream:s*"]),
)  # fmt: skip
SEARCHES = st.recursive(
    LEAVES,
    lambda q: st.one_of(
        st.tuples(q, q).map(lambda p: f"({p[0]} {p[1]})"),
        st.tuples(q, q).map(lambda p: f"({p[0]} OR {p[1]})"),
        q.map(lambda one: f"NOT {one}"),
    ),
    max_leaves=4,
)


@given(
    st.lists(RECORDS, min_size=1, max_size=3),
    st.lists(SEARCHES, min_size=4, max_size=10),
    st.integers(1, 4),
)
@settings(
    max_examples=int(os.environ.get("TASKSCOPE_CONTRACT_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_query_finds_the_same(
    both: Both,
    lots: list[list[tuple[str, str, str, float]]],
    searches: list[str],
    limit: int,
) -> None:
    """Made-up queries over made-up records: the same documents in the same order, the same counts."""
    app = f"app-{time.time_ns():x}"
    both.store(
        [
            make_batch(
                [line for line, _, _, _ in records],
                fields=[own for _, own, _, _ in records],
                levels=[level for _, _, level, _ in records],
                seconds=[second for _, _, _, second in records],
                task=f"{app}-{n % 2}",
                app=app,
                source=f"{app}/{n}",
                dataset=both.index.split("-")[1],
            )
            for n, records in enumerate(lots)
        ]
    )
    if len(searches) % 2:
        both.embedded.seal()
    for search in searches:
        asked = LogQuery(f"app:{app} ({search})", limit=limit)
        ours, theirs = documents(both.embedded, asked), documents(both.elastic, asked)
        assert theirs == ours, search
        counts = [
            {level: int(column.sum()) for level, column in reader.histogram(asked, 3)[1].items()}
            for reader in (both.elastic, both.embedded)
        ]
        assert counts[0] == counts[1], search
        facets = [reader.facets(asked, ["n", "s"]) for reader in (both.elastic, both.embedded)]
        assert facets[0] == facets[1], search

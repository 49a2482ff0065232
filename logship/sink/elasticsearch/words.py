"""How Elasticsearch cuts messages into words: as queries do (``storage.logquery.words``), if it can.

Which ways a server has is asked: it has to cut a sample as we do. The name of the way stays in the
settings of each index, so that a reader knows what its words are.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from logship.sink.elasticsearch.client import ask_if_known
from storage.logquery.words import CLASSES, WORD, fold, words

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

# Every word is a term at its place: words and phrases are found by the index alone.
WORDS: Final = "taskscope_words"
# Every word is a term, but words that a dot or an apostrophe joins stand at one place.
PARTS: Final = "taskscope_parts"
_SAMPLE: Final = (
    "GET /api/v1.2/x_y?id=10.1.2.3&q=a:b can't java.lang.Foo: größe=7% ΣΑΣ "
    "日志abcログdefひら สวัสดีx \u212am İz — end"
)


def _lucene(ranges: tuple[tuple[int, int], ...], *, negated: bool = False) -> str:
    """Return a class in Lucene's own syntax of regular expressions."""
    inner = "".join(f"{_char(first)}-{_char(last)}" for first, last in ranges)
    return f"[{'^' if negated else ''}{inner}]"


def _char(code: int) -> str:
    return chr(code) if code > 0x7F or chr(code).isalnum() else "\\" + chr(code)


def _simple() -> str:
    no_letters, single, *runs = CLASSES
    more = "|".join(f"{_lucene(ranges)}+" for ranges in runs)
    return f"{_lucene(no_letters, negated=True)}+|{_lucene(single)}|{more}"


_WAYS: Final[Mapping[str, tuple[dict[str, Any], ...]]] = {
    WORDS: (
        {"tokenizer": {WORDS: {"type": "simple_pattern", "pattern": _simple()}}},
        {"tokenizer": {WORDS: {"type": "pattern", "pattern": WORD, "group": 0}}},
    ),
    PARTS: (
        {
            "filter": {
                PARTS: {
                    "type": "pattern_capture",
                    "preserve_original": False,
                    "patterns": [f"({WORD})"],
                }
            }
        },
    ),
}


def analysis(client: "Elasticsearch") -> Mapping[str, Any]:
    """Return the ``index.analysis`` settings of the best way that a server has; none if it has none."""
    want = [fold(word) for word in words(_SAMPLE)]
    for name, ways in _WAYS.items():
        for parts in ways:
            tokenizer = parts.get("tokenizer", {}).get(name, "standard")
            filters = ["lowercase", *parts.get("filter", {}).values()]
            body = {"tokenizer": tokenizer, "filter": filters, "text": _SAMPLE}
            found = ask_if_known(client, "POST", "/_analyze", body).get("tokens", [])
            places = [one["position"] for one in found]
            if [one["token"] for one in found] == want and (
                name == PARTS or places == list(range(len(want)))
            ):
                return {**parts, "analyzer": {"default": _analyzer(name)}}
    return {}


def _analyzer(name: str) -> dict[str, Any]:
    if name == WORDS:
        return {"type": "custom", "tokenizer": WORDS, "filter": ["lowercase"]}
    return {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", PARTS]}


def way_of(settings: Mapping[str, Any]) -> str:
    """Return the way that an index cuts by its flat settings: ``WORDS``, ``PARTS`` or "" for any other."""
    if settings.get("index.analysis.analyzer.default.tokenizer") == WORDS:
        return WORDS
    return PARTS if PARTS in settings.get("index.analysis.analyzer.default.filter", ()) else ""

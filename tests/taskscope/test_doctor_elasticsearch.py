"""What ``taskscope doctor`` says of an Elasticsearch."""

import json
from typing import Any

import pytest

from configfile.document import parse
from configfile.validate import validate
from taskscope.config import TaskscopeConfig
from taskscope.doctor import Finding, _elasticsearch
from tests.logship.server import Answer, Server
from tests.logship.test_elastic_setup import ELASTIC, StandIn


def said(stand_in: Any, extra: str = "") -> list[str]:
    """Return verdict and sentence of each finding, with URL for the address."""
    with Server(stand_in) as server:
        text = f"logship: {{sinks: [{{type: elasticsearch, endpoints: ['{server.url}']{extra}}}]}}"
        config = validate(parse(text, "x.yml"), TaskscopeConfig)
        return [shown(finding).replace(server.url, "URL") for finding in _elasticsearch(config)]


def shown(finding: Finding) -> str:
    """Return verdict and sentence."""
    return f"{finding.verdict.value}: {finding.sentence}"


def test_whole_server() -> None:
    """Nothing to say but that it is there."""
    assert said(StandIn(has=("/_data_stream/", "/_ilm"))) == ["good: Elasticsearch 8.19.0 at URL"]


def test_what_it_lacks() -> None:
    """Each type with what that means, and who removes old data."""
    found = said(StandIn(lacks=("match_only_text", "flattened")), ", retention_days: 7")

    assert found[1:] == [
        "note: it lacks the field type flattened: own fields are kept but not searched",
        "note: it lacks the field type match_only_text: messages take more disk",
        "note: it has no lifecycle: Taskscope itself rolls data streams over and deletes what is older than 7 days",
    ]


def test_login_that_may_not_install_templates() -> None:
    """Bad, unless somebody else installs them."""
    stand_in = StandIn(has=("/_data_stream/",))
    stand_in.forbidden = ("_template",)

    assert said(stand_in)[1].startswith("bad: the login may not manage index templates")
    assert len(said(stand_in, ", install_templates: false")) == 1


class WithSecurity(StandIn):
    """Also answers which rights a login has."""

    def __init__(self, missing: str, template: dict[str, Any]) -> None:
        super().__init__(has=("/_data_stream/",))
        self._missing, self._template = missing, template

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path.startswith("/_security/user/_has_privileges"):
            ((stream, wanted),) = [(i["names"][0], i["privileges"]) for i in json.loads(body)["index"]]  # fmt: skip
            has = {name: name != self._missing for name in wanted}
            return 200, json.dumps({"index": {stream: has}}).encode(), ELASTIC
        if path.startswith("/_index_template/_simulate_index/"):
            return 200, json.dumps(self._template).encode(), ELASTIC
        return super().__call__(method, path, headers, body)


@pytest.mark.parametrize(
    ("missing", "properties", "sentence"),
    [
        ("create_doc", {"fields": {}}, "bad: the login lacks the right create_doc on logs-task-default: nothing can be delivered"),
        ("maintenance", {"fields": {}}, "note: the login lacks the right maintenance on logs-task-default: a rollover"),
        ("", {"message": {}}, "note: another index template than Taskscope's holds for logs-task-default"),
    ],
)  # fmt: skip
def test_rights_and_templates(missing: str, properties: dict[str, Any], sentence: str) -> None:
    """What would go wrong later is said now."""
    template = {"template": {"mappings": {"properties": properties}}, "overlapping": [{"name": "taskscope-logs-task"}]}  # fmt: skip

    (found,) = said(WithSecurity(missing, template))[1:]

    assert found.startswith(sentence)


def test_nobody_there() -> None:
    """One sentence."""
    config = validate(parse("logship: {sinks: [{type: elasticsearch, endpoints: ['http://127.0.0.1:1']}]}", "x.yml"), TaskscopeConfig)  # fmt: skip

    assert [shown(finding) for finding in _elasticsearch(config)] == [
        "bad: Elasticsearch at http://127.0.0.1:1 cannot be reached: Connection refused"
    ]

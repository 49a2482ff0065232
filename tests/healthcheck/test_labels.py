"""Checks declared by labels: data that may be wrong in every way."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthcheck.check import Check, CheckType, Policy
from healthcheck.labels import label_checks
from healthcheck.select import DeclaredCheck, TaskMatch, checks_for
from model.health import CheckKind
from model.task import Task
from tests.fakes.tasks import make_task


def labelled(text: str) -> Task:
    """Return a task with labels written ``key=value; key=value`` below ``taskscope.health.``."""
    pairs = (pair.split("=", 1) for pair in text.split("; ") if pair)
    return make_task(labels={f"taskscope.health.{key}": value for key, value in pairs})


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        ("type=http", Check("http", CheckType.HTTP)),
        ("type=tcp; port=6379", Check("tcp", CheckType.TCP, port=6379)),
        (
            "type=https; path=/ok; status=200,204; body_regex=UP",
            Check(
                "https",
                CheckType.HTTPS,
                path="/ok",
                status=((200, 200), (204, 204)),
                body_regex="UP",
            ),
        ),
        (
            "type=command; command=pgrep app",
            Check("command", CheckType.COMMAND, argv=("/bin/sh", "-c", "pgrep app")),
        ),
        (
            'type=command; command=["/app", "check it"]',
            Check("command", CheckType.COMMAND, argv=("/app", "check it")),
        ),
        (
            "ready.type=http; ready.kind=readiness",
            Check("ready", CheckType.HTTP, CheckKind.READINESS),
        ),
        (
            "type=http; interval_seconds=1; delay_seconds=0; max_consecutive_failures=2",
            Check(
                "http",
                CheckType.HTTP,
                policy=Policy(delay_seconds=0, interval_seconds=1, max_consecutive_failures=2),
            ),
        ),
    ],
)
def test_labels_make_checks(labels: str, want: Check) -> None:
    """What is not said has Mesos' defaults."""
    found = label_checks(labelled(labels))

    assert found.checks == (want,)
    assert found.problems == ()


def test_further_checks_by_name() -> None:
    """A task may have several, each with values of its own."""
    found = label_checks(labelled("type=http; path=/a; db.type=tcp; db.port=5432"))

    assert {(c.name, c.type.value, c.port, c.path) for c in found.checks} == {
        ("http", "http", 0, "/a"),
        ("db", "tcp", 5432, "/"),
    }


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ("path=/x", "taskscope.health.type: is missing; there are http, https, tcp, command"),
        ("type=icmp", "taskscope.health.type: 'icmp' is no type"),
        ("type=http; port=http", "taskscope.health.port: 'http' is no port"),
        ("type=http; port=70000", "taskscope.health.port: '70000' is no port"),
        ("type=http; port=\u0663", "is no port"),
        ("type=http; path=http://10.0.0.1/", "is no path"),
        ("type=http; path=//10.0.0.1/", "is no path"),
        ("type=http; path=/a\r\nX: y", "is no path"),
        ("type=http; status=abc", "taskscope.health.status: is no list of status codes"),
        ("type=http; status=300-200", "runs backwards"),
        (
            "type=http; body_regex=(",
            "taskscope.health.body_regex: is no valid RE2 pattern: missing )",
        ),
        ("type=http; interval_seconds=often", "'often' is no number"),
        ("type=http; interval_seconds=0", "must be between 0.5 and 86400"),
        ("type=http; interval_seconds=nan", "must be between"),
        ("type=http; timeout_seconds=1e99", "must be between"),
        ("type=http; max_consecutive_failures=0", "must be between 1 and 1000"),
        ("type=http; kind=aliveness", "must be liveness or readiness"),
        ("type=command", "taskscope.health.command: is missing"),
        ("type=command; command=[1]", "JSON list"),
        ("type=command; command=[", "JSON list"),
        ("db.type=nope", "taskscope.health.db.type: 'nope' is no type"),
    ],
)
def test_bad_labels_are_said(labels: str, problem: str) -> None:
    """A check that cannot be as it was meant is left out, with a sentence that says why."""
    found = label_checks(labelled(labels))

    assert found.checks == ()
    assert len(found.problems) == 1
    assert problem in found.problems[0]


def test_two_checks_of_one_name() -> None:
    """A check without a name is called by its type; another of that name is said and left out."""
    found = label_checks(labelled("type=http; path=/a; http.type=tcp"))

    assert [(c.name, c.path) for c in found.checks] == [("http", "/a")]
    assert "a second check of the name http" in found.problems[0]


def test_unknown_label_spoils_nothing() -> None:
    """A label that is not known is said; the check is made."""
    found = label_checks(labelled("type=http; host=10.0.0.1"))

    assert [c.name for c in found.checks] == ["http"]
    assert "taskscope.health.host: unknown" in found.problems[0]


def test_command_labels_never_run_on_the_host() -> None:
    """A process task's labels cannot have the agent run something."""
    task = labelled("type=command; command=rm -rf /")
    host = make_task(labels=task.status.labels)
    host = Task(
        type(host.identity)(
            cluster="c",
            host="h",
            framework="process",
            namespace="n",
            app="a",
            task_name="t",
            task_id=host.identity.task_id,
            container_id=type(host.identity.container_id)(""),
        ),
        host.status,
    )
    found = label_checks(host)

    assert found.checks == ()
    assert "labels never run on a host" in found.problems[0]


def test_number_of_checks_is_bounded() -> None:
    """A task cannot have a thousand checks made."""
    found = label_checks(labelled("; ".join(f"c{n}.type=tcp" for n in range(100))))

    assert len(found.checks) == 16
    assert "more than 16" in found.problems[-1]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["", "db.", "a.b."]).flatmap(
            lambda name: st.sampled_from(
                ["type", "port", "path", "command", "status", "interval_seconds", "x", ""]
            ).map(lambda key: f"taskscope.health.{name}{key}")
        ),
        st.text("ab=/[]{}\"' \t\r\n\0\u00e9\u0663-1.e", max_size=20)
        | st.sampled_from(["http", "command", "80", "/", "200-399"]),
        max_size=12,
    )
)
def test_no_label_raises(labels: dict[str, str]) -> None:
    """Whatever the labels are, there are checks and problems, and no two checks of one name."""
    found = label_checks(make_task(labels=labels))
    names = [check.name for check in found.checks]

    assert len(names) == len(set(names))
    assert all(check.path.startswith("/") for check in found.checks)


@pytest.mark.parametrize(
    ("match", "want"),
    [
        (TaskMatch(app="shop"), True),
        (TaskMatch(app="sh*"), True),
        (TaskMatch(app="billing"), False),
        (TaskMatch(app="shop", task_name="shop-2"), False),
        (TaskMatch(task_name="shop-?"), True),
        (TaskMatch(labels={"tier": "front"}), True),
        (TaskMatch(labels={"tier": "*"}), True),
        (TaskMatch(labels={"tier": "front", "zone": "*"}), False),
        (TaskMatch(namespace="default"), True),
    ],
)
def test_operators_checks_are_matched(match: TaskMatch, want: bool) -> None:
    """All that is given must fit."""
    task = make_task(labels={"tier": "front"})

    assert match.fits(task) is want


def test_operators_check_wins_over_label() -> None:
    """Of two checks of one name the operator's is made; further ones come from the labels."""
    mine = Check("http", CheckType.HTTP, path="/mine")
    found = checks_for(
        labelled("type=http; path=/theirs; db.type=tcp"),
        [DeclaredCheck(TaskMatch(app="shop"), mine)],
    )

    assert [(c.name, c.path) for c in found.checks] == [("http", "/mine"), ("db", "/")]

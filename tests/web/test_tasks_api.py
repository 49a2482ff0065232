"""The tasks as JSON."""

import pytest
from flask.testing import FlaskClient

from model.errors import StorageError
from model.task import HealthStatus
from promql.engine import Engine
from tests.fakes.store import MemoryStore
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.web.conftest import MakeClient, body
from tests.web.demo_host import Demo


def test_list_has_every_task_with_its_usage(demo_client: FlaskClient, demo: Demo) -> None:
    """State, health, how it ended, CPU and memory."""
    found = {task["identity"]["task_name"]: task for task in body(demo_client.get("/api/tasks"))}

    assert len(found) == len(demo.tasks) == 12
    assert found["billing"]["health"]["status"] == "unhealthy"
    assert "pool exhausted" in found["billing"]["health"]["checks"][0]["output"]
    assert found["billing"]["cpu_cores"] == pytest.approx(0.34, rel=0.6)
    assert found["billing"]["memory_bytes"] == pytest.approx(201 * 2**20, rel=0.1)
    assert found["leaky"]["last_exit"] == {"code": 137, "signal": 9, "oom": True, "reason": ""}
    assert found["leaky"]["ended_ms"] is None
    assert found["import-7"]["state"] == "failed"
    assert found["import-7"]["ended_ms"] == demo.now_ms - 12 * 60_000
    assert found["import-7"]["cpu_cores"] is None
    assert [run["number"] for run in found["report-job"]["runs"]] == list(range(22, 31))


def test_one_task_is_found_by_the_beginning_of_its_id(demo_client: FlaskClient, demo: Demo) -> None:
    """As with Docker's commands."""
    task_id = demo.tasks["billing"].identity.task_id
    for wanted in (task_id, task_id[:12]):
        assert body(demo_client.get(f"/api/tasks/{wanted}"))["id"] == task_id


def test_unknown_task_is_404_with_a_sentence(demo_client: FlaskClient) -> None:
    """It may have been forgotten."""
    answer = demo_client.get("/api/tasks/nothing")

    assert answer.status_code == 404
    assert "retention" in body(answer)["error"]


def test_ambiguous_beginning_is_refused(make_client: MakeClient) -> None:
    """Two tasks cannot be one."""
    tasks = FakeTaskSource(make_task("shop-1"), make_task("shop-2"))
    answer = make_client(tasks=tasks).get("/api/tasks/shop-")

    assert answer.status_code == 400
    assert "2 task ids" in body(answer)["error"]


def test_id_with_a_slash_is_found(make_client: MakeClient) -> None:
    """Mesos allows nearly anything in an id."""
    client = make_client(tasks=FakeTaskSource(make_task("a/b")))

    assert body(client.get("/api/tasks/a/b-id"))["identity"]["task_name"] == "a/b"
    assert client.get("/tasks/a/b-id").status_code == 200


def test_labels_of_the_runtime_do_not_leave(make_client: MakeClient) -> None:
    """They may hold secrets."""
    task = make_task("shop-1", labels={"password": "hunter2"})
    client = make_client(tasks=FakeTaskSource(task))

    assert "hunter2" not in client.get("/api/tasks").text


def test_health_without_checks_is_the_runtimes(make_client: MakeClient) -> None:
    """Docker's own HEALTHCHECK, where nothing else is known."""
    task = make_task("shop-1", runtime_health=HealthStatus.HEALTHY)
    (found,) = body(make_client(tasks=FakeTaskSource(task)).get("/api/tasks"))

    assert found["health"] == {"status": "healthy", "since_ms": 0, "ready": None, "checks": []}


def test_store_that_fails_leaves_the_list_without_usage(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The list is there when it is needed most."""

    class Broken(MemoryStore):
        def select(self, *args: object) -> None:  # type: ignore[override]  # fails before it answers
            raise StorageError("disk gone")

    client = make_client(tasks=FakeTaskSource(make_task()), queryable=Broken(), engine=Engine())
    (found,) = body(client.get("/api/tasks"))

    assert found["cpu_cores"] is None
    assert "disk gone" in caplog.text


def test_usage_is_asked_once_for_many_pages(make_client: MakeClient) -> None:
    """Twenty open task lists cost two queries in two seconds."""

    class Counting(MemoryStore):
        selects = 0

        def select(self, *args: object) -> object:  # type: ignore[override]  # counts and passes on
            Counting.selects += 1
            return super().select(*args)  # type: ignore[arg-type]  # as it came

    client = make_client(tasks=FakeTaskSource(make_task()), queryable=Counting(), engine=Engine())
    for _ in range(20):
        client.get("/api/tasks")

    assert Counting.selects == 2

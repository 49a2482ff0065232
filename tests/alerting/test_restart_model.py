"""Any history with restarts at any place is the history without them."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alerting.group import GroupRun
from model.alert import Alert
from tests.alerting.helpers import T0, Bench, alerting_rule, words

# what the expression gives at one evaluation, and whether the process is killed after it
steps = st.lists(st.tuples(st.sampled_from(["", "a", "b", "a b"]), st.booleans()), max_size=40)


def history(
    evaluations: list[tuple[str, bool]], *, for_seconds: int, keep_seconds: int, kills: bool
) -> tuple[list[list[Alert]], list[Alert]]:
    """Return the alerts after each evaluation and all that was sent."""
    with TemporaryDirectory() as directory:
        bench = Bench(
            Path(directory), alerting_rule(for_seconds=for_seconds, keep_seconds=keep_seconds)
        )
        after = []
        for number, (answer, killed) in enumerate(evaluations):
            bench.answers.by_expr["Broken"] = words(answer)
            bench.evaluate(number * 15)
            after.append(sorted(bench.alerts().values(), key=lambda a: a.labels))
            if kills and killed:
                bench.run = GroupRun(bench.group, bench.around)
                kept = bench.alert_store.load_all().get(bench.group.key, {})
                bench.run.restore(kept, T0 + number * 15_000 + 5000, hold_ms=0)
        return after, bench.sent


def lasting(alerts: list[Alert]) -> list[Alert]:
    """Leave out the validity, which a restart counts anew."""
    return [replace(alert, valid_until_ms=0) for alert in alerts]


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([0, 10, 45]), st.sampled_from([0, 20, 60]))
def test_restarts_change_nothing(
    evaluations: list[tuple[str, bool]], for_seconds: int, keep_seconds: int
) -> None:
    """Neither states and their times, nor what is sent and when."""
    plain, sent = history(
        evaluations, for_seconds=for_seconds, keep_seconds=keep_seconds, kills=False
    )
    killed, sent_with_kills = history(
        evaluations, for_seconds=for_seconds, keep_seconds=keep_seconds, kills=True
    )

    assert [lasting(alerts) for alerts in killed] == [lasting(alerts) for alerts in plain]
    assert lasting(sent_with_kills) == lasting(sent)

"""How many shards there are: the plan by itself, and a queue under a clock that is turned by hand."""

import time

from msgspec import Struct, field

from storage.remote.out.plan import Backlog, Flow, Passed, ShardPlan
from storage.tsdb.db import Tsdb
from tests.storage.remote.test_out import (
    Far,
    Sender,
    eventually,
    far,
    points,
    scrape,
    sender,
    store,
)

__all__ = ["far", "sender", "store"]  # fixtures

TICK = 10.0


class Network(Struct):
    """A far store that takes ``latency`` seconds for 1,000 samples, and what is written to the near one.

    Time passes ten seconds at a time: shards send what they can, the plan is asked.
    """

    latency: float = 0.1
    plan: ShardPlan = field(default_factory=lambda: ShardPlan(1, 50))
    shards: int = 1
    behind: float = 0.0

    def run(self, ticks: int, samples_per_second: float, dropped: float = 0.0) -> list[int]:
        """Return how many shards there were at the end of each interval."""
        seen = []
        for _ in range(ticks):
            arrived = samples_per_second * TICK
            self.behind += arrived * (1 - dropped)
            room = self.shards * TICK / self.latency * 1_000
            sent = min(self.behind, room)
            self.behind -= sent
            passed = Passed(int(sent), sent / 1_000 * self.latency, taken=True)
            self.shards = self.plan.desired(
                self.shards, TICK, arrived, int(arrived * dropped), passed, self.behind
            )
            seen.append(self.shards)
        return seen


def test_more_is_sent_by_more_shards_and_less_by_fewer() -> None:
    """Up while they do not keep pace, to what the load needs, and down again when it goes."""
    network = Network()
    assert network.run(10, 5_000)[-1] == 1
    rise = network.run(30, 65_000)
    assert max(rise) >= 7
    assert network.behind == 0
    assert 7 <= network.run(30, 65_000)[-1] <= 9  # 6.5 send at any time
    fall = network.run(60, 5_000)
    assert fall[-1] == 1
    assert fall == sorted(fall, reverse=True)


def test_small_changes_change_nothing() -> None:
    """Up or down by less than 30 % is not worth emptying all shards."""
    network = Network(shards=10)
    for load in (95_000, 75_000, 99_000, 80_000, 99_000) * 5:
        assert network.run(3, load) == [10] * 3


def test_the_bounds_hold() -> None:
    """Never fewer than min_shards, never more than max_shards."""
    network = Network(plan=ShardPlan(3, 6), shards=3)
    assert set(network.run(20, 100)) == {3}
    assert network.run(20, 500_000)[-1] == 6
    network.behind = 0
    assert network.run(100, 100)[-1] == 3


def test_while_much_waits_shards_do_not_become_fewer() -> None:
    """What is behind must be sent first: here it is worth 1,000 seconds, then five."""
    quick = Passed(100_000, 1.0, taken=True)
    assert ShardPlan(1, 50).desired(10, TICK, 10_000, 0, quick, 1_000_000) == 10
    assert ShardPlan(1, 50).desired(10, TICK, 10_000, 0, quick, 5_000) == 1


def test_what_is_not_sent_needs_no_shards() -> None:
    """Samples that relabelling drops are left out of what comes in."""
    network = Network()
    assert network.run(30, 100_000, dropped=0.9)[-1] <= 2


def test_silence_changes_nothing() -> None:
    """Before anything was sent nothing is known."""
    assert ShardPlan(1, 9).desired(4, TICK, 0, 0, Passed(0, 0.0, taken=False), 0) == 4


def test_the_log_is_judged_by_what_was_in_it() -> None:
    """Unread bytes are worth as many samples as those that were read before."""
    backlog = Backlog()
    assert backlog.look(500) == (0, 0)
    backlog.read(1_000)
    backlog.took(100)
    assert backlog.look(500) == (100, 50)
    backlog.read(500)
    backlog.took(50)
    assert backlog.look(2_000) == (200, 200)
    assert backlog.look(2_500) == (50, 250)


def test_flow_is_collected_once() -> None:
    """Each interval has its own."""
    flow = Flow(time.monotonic)
    flow.done(10, 0.5, taken=False)
    flow.done(5, 0.25, taken=True)
    assert flow.collect() == Passed(15, 0.75, taken=True)
    assert flow.collect() == Passed(0, 0.0, taken=False)


def test_a_queue_gets_more_shards_and_fewer(sender: Sender, far: Far, store: Tsdb) -> None:
    """Nothing is lost or sent twice on the way. Each request takes a second of a virtual clock, at first."""
    now = [0.0]

    def pass_time() -> None:
        now[0] += 1.0

    far.before = pass_time
    with sender.sending(shards=1, max_shards=4, max_samples_per_send=20, monotonic=lambda: now[0]):
        for step in range(200):
            scrape(store, step)
        assert eventually(lambda: sender.count("shards") == 4)
        assert eventually(lambda: points(far) == 200 * 20)
        far.before = lambda: None
        for step in range(200, 300):
            now[0] += 10.0
            scrape(store, step)
            assert eventually(lambda step=step: points(far) == (step + 1) * 20)  # type: ignore[misc]
            if sender.count("shards") == 1:
                break
        assert sender.count("shards") == sender.count("shards_desired") == 1
        assert eventually(lambda: sender.count("samples_total") == points(far))
        time.sleep(0.1)
        assert sender.count("samples_total") == points(far)

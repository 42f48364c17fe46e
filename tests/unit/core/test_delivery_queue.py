"""Whose record is delivered next. The records themselves are a test's: here when each is due, by its lane."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambent.core.delivery_queue import DeliveryQueue, Lane, Place
from lambent.core.function import FunctionName

QUEUES, TOPICS = Place("queues", 4), Place("topics", 2)
MEGABYTE = 1024**2


def lane(name: str, place: Place = QUEUES) -> Lane:
    return Lane(FunctionName("111122223333", "us-east-1", name), str(place.name))


class Bench:
    """A store of times, and a clock that a test moves. Fetching takes no time."""

    def __init__(self, content_bytes: int = 0) -> None:
        self.content_bytes = content_bytes
        self.now = 1_000_000
        self.queue = DeliveryQueue(MEGABYTE)
        self.stored: dict[Lane, list[int]] = {}
        self.under_way: Counter[Lane] = Counter()

    def store(self, of: Lane, count: int = 1, due_in_ms: int = 0, place: Place = QUEUES) -> None:
        due_ms = self.now + due_in_ms
        self.stored[of] = sorted([*self.stored.get(of, ()), *[due_ms] * count])
        self.queue.waits(of, place, due_ms, self.now)

    def begin(self) -> list[Lane]:
        """All that may: a lane for each record."""
        begun = []
        while (turn := self.queue.take(self.now)) is not None:
            of = turn.lane
            stored = self.stored[of]
            found = bool(stored) and stored[0] <= turn.by_ms
            if found:
                stored.pop(0)
                self.under_way[of] += 1
                begun.append(of)
            self.queue.fetched(of, self.content_bytes if found else 0, stored[0] if stored else None, self.now)
            if not found:
                self.queue.over(of, 0)
        return begun

    def over(self, of: Lane) -> None:
        self.under_way[of] -= 1
        self.queue.over(of, self.content_bytes)


def test_a_function_with_many_records_has_all_places_while_nobody_else_waits():
    bench = Bench()
    bench.store(lane("noisy"), 1_000_000)
    assert bench.begin() == [lane("noisy")] * 4


def test_a_function_that_comes_late_has_the_next_place_and_each_other_one_then():
    bench = Bench()
    bench.store(lane("noisy"), 1500)
    bench.begin()
    bench.store(lane("quiet"), 2)
    assert bench.begin() == []
    turns = []
    for _ in range(4):
        bench.over(lane("noisy"))
        turns += bench.begin()
    assert sorted(turns) == [lane("noisy")] * 2 + [lane("quiet")] * 2
    assert lane("quiet") in turns[:2]


def test_what_is_under_way_is_bounded_in_bytes_and_an_endpoint_has_its_part_of_them():
    bench = Bench(MEGABYTE // 4)
    buckets = Place("buckets", 4)
    bench.store(lane("f"), 10)
    assert bench.begin() == [lane("f")] * 2, "two more would be all that there is"
    bench.store(lane("g", TOPICS), 10, place=TOPICS)
    assert bench.begin() == [lane("g", TOPICS)]
    bench.store(lane("h", buckets), 10, place=buckets)
    assert bench.begin() == [lane("h", buckets)]
    last = Place("bus", 4)
    bench.store(lane("i", last), 10, place=last)
    assert bench.begin() == [lane("i", last)], "its first one, beyond the bound"
    bench.over(lane("h", buckets))
    assert bench.begin() == [lane("h", buckets)]


def test_an_endpoint_that_is_behind_holds_up_no_other():
    bench = Bench()
    for number in range(100):
        bench.store(lane(f"f{number}"), 10)
    bench.begin()
    bench.store(lane("f0", TOPICS), 3, place=TOPICS)
    assert bench.begin() == [lane("f0", TOPICS)] * 2


def test_what_is_due_later_is_taken_then():
    bench = Bench()
    bench.store(lane("f"), due_in_ms=500)
    bench.store(lane("f"), due_in_ms=200)
    assert bench.begin() == []
    assert bench.queue.wake_ms() == bench.now + 200
    bench.now += 200
    assert len(bench.begin()) == 1
    bench.over(lane("f"))
    bench.now += 299
    assert bench.begin() == []
    bench.now += 1
    assert len(bench.begin()) == 1


def test_when_the_clock_is_set_back_nothing_waits_for_it():
    bench = Bench()
    bench.store(lane("f"), 10)
    bench.store(lane("g"), due_in_ms=60_000)
    assert len(bench.begin()) == 4
    bench.now -= 3_600_000
    bench.store(lane("h"))
    for name in "ffff":
        bench.over(lane(name))
    assert sorted(bench.begin()) == [lane("f")] * 2 + [lane("g"), lane("h")]


class Deliveries(RuleBasedStateMachine):
    """Functions have records delivered at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()

    @rule(
        name=st.sampled_from("fgh"), place=st.sampled_from((QUEUES, TOPICS)), count=st.integers(1, 10),
        due_in_ms=st.sampled_from((0, 10, 1000)),
    )  # fmt: skip
    def more_wait(self, name: str, place: Place, count: int, due_in_ms: int) -> None:
        self.bench.store(lane(name, place), count, due_in_ms, place)

    @rule(wait_ms=st.sampled_from((0, 10, 1000)))
    def time_passes(self, wait_ms: int) -> None:
        self.bench.now += wait_ms
        self.bench.begin()

    @precondition(lambda self: +self.bench.under_way)
    @rule(data=st.data(), fails=st.booleans())
    def one_is_over(self, data: st.DataObject, fails: bool) -> None:
        of = data.draw(st.sampled_from(sorted(+self.bench.under_way)))
        self.bench.over(of)
        if fails:
            self.bench.store(of, due_in_ms=100, place=QUEUES if of.service == "queues" else TOPICS)

    @invariant()
    def no_more_are_under_way_than_may_be(self) -> None:
        for place in (QUEUES, TOPICS):
            assert self._at(place) <= place.at_a_time

    def _at(self, place: Place) -> int:
        return sum(count for of, count in self.bench.under_way.items() if of.service == place.name)

    def teardown(self) -> None:
        """No place is idle while something is due for it, and nothing is left in the end."""
        bench = self.bench
        for _ in range(1000):
            bench.begin()
            for place in (QUEUES, TOPICS):
                due = sum(at_ms <= bench.now for of, all_ in bench.stored.items() for at_ms in all_
                          if of.service == place.name)  # fmt: skip
                assert not due or self._at(place) == place.at_a_time
            for of, count in bench.under_way.items():
                for _ in range(count):
                    bench.over(of)
            if not any(bench.stored.values()):
                assert bench.queue.take(bench.now) is None
                return
            if not bench.begin():
                wake_ms = bench.queue.wake_ms()
                assert wake_ms is not None
                bench.now = wake_ms
        raise AssertionError("something is never delivered")


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=60, stateful_step_count=40)

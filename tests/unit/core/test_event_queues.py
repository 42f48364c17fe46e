"""Whose asynchronous event is next. The events themselves are a test's: here a count for each function."""

import statistics
from collections import Counter, deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambent.core.event_queue import WINDOW_FIRST, EventQueues, Fetch
from lambent.core.function import FunctionName

MEGABYTE, MINUTE_MS, HOUR_MS = 1024**2, 60_000, 3_600_000


def name(text: str) -> FunctionName:
    return FunctionName("111122223333", "us-east-1", text)


F, G, H = map(name, "fgh")


class Bench:
    """Queues with a clock that a test moves. Fetching takes no time, and what is ready begins as soon as it may."""

    def __init__(self, places: int = 64) -> None:
        self.now = 1_000_000
        self.queues = EventQueues(places=places, payload_bytes=MEGABYTE, longest_wait_ms=MINUTE_MS)
        self.ready: Counter[FunctionName] = Counter()

    def queue(self, function: FunctionName, count: int, due_in_ms: int = 0) -> None:
        self.queues.queued(function, count, self.now + due_in_ms, self.now)

    def offer(self, function: FunctionName) -> bool:
        held = self.queues.offered(function, 10, self.now)
        self.ready[function] += held
        return held

    def begin(self) -> list[FunctionName]:
        """Those that begin, one name for each event."""
        begun = []
        while (fetch := self.queues.take(self.now)) is not None:
            left = self.queues.waiting()[fetch.function] - fetch.places
            self.queues.fetched(fetch, fetch.places, 0, self.now if left else None, self.now)
            self.ready[fetch.function] += fetch.places
        for function in list(+self.ready):
            while self.ready[function] and self.queues.begin(function, self.now):
                self.ready[function] -= 1
                begun.append(function)
        return begun

    def at_work(self, function: FunctionName) -> int:
        return self.queues.at_work().get(function, 0)

    def over(self, function: FunctionName, *, refused: bool = False) -> None:
        if self.queues.over(function, 0, self.now, refused=refused):
            self.queues.given_back(function, self.ready.pop(function, 0), 0, self.now)


def test_what_is_answered_counts_until_the_event_is_over():
    bench = Bench()
    assert bench.offer(F)
    bench.begin()
    bench.queues.holds(F, MEGABYTE)
    assert [bench.offer(G) for _ in range(2)] == [True, False], "its first one alone"
    bench.queues.over(F, 10 + MEGABYTE, bench.now)
    assert bench.offer(G)


def test_a_function_with_a_million_events_leaves_places_for_one_that_comes_late():
    bench = Bench()
    bench.queue(F, 1_000_000)
    for _ in range(20):  # nothing of it ends
        bench.begin()
        bench.now += 1000
    assert bench.at_work(F) + bench.ready[F] == 32, "half of the places"
    bench.queue(G, 3)
    assert bench.begin() == [G] * 3


def test_functions_that_want_all_have_equal_shares_and_one_place_more_each_at_most():
    bench = Bench(places=100)
    functions = [name(str(number)) for number in range(9)]
    for function in functions:
        bench.queue(function, 1_000_000)
    bench.begin()
    for _ in range(50):
        bench.now += 1000
        for function in functions:
            bench.over(function)
            bench.begin()
    shares = [bench.at_work(function) + bench.ready[function] for function in functions]
    assert max(shares) - min(shares) <= 1, shares
    assert min(shares) >= 9, shares


def test_events_are_fetched_many_at_a_time_though_they_end_one_by_one():
    bench = Bench(places=256)
    bench.queue(F, 1000)
    bench.begin()
    fetches = 0
    while bench.at_work(F):
        bench.over(F)
        before = bench.queues.waiting().get(F, 0)
        bench.begin()
        fetches += bench.queues.waiting().get(F, 0) < before
        bench.now += 1
    assert 0 < fetches <= 1000 // 32


def test_an_event_begins_at_once_where_nothing_waits_before_it():
    bench = Bench()
    assert bench.offer(F)
    assert bench.begin() == [F]
    bench.queue(F, 1)
    assert not bench.offer(F)
    assert bench.begin() == [F]
    assert bench.offer(F)


def test_an_event_that_is_due_later_is_not_fetched_before_and_holds_up_nobody():
    bench = Bench()
    bench.queue(F, 1, due_in_ms=60_000)
    assert bench.begin() == []
    assert bench.queues.wake_ms() == bench.now + 60_000
    assert bench.offer(F)
    assert bench.begin() == [F]
    bench.over(F)
    bench.now += 59_999
    assert bench.begin() == []
    bench.now += 1
    assert bench.begin() == [F]


def test_a_function_that_is_throttled_has_as_many_at_work_as_are_let_through():
    bench = Bench()
    bench.queue(F, 1000)
    assert bench.begin() == [F] * WINDOW_FIRST
    for _ in range(2):
        bench.over(F, refused=True)
        bench.queue(F, 1, due_in_ms=1000)
    assert bench.begin() == []
    bench.over(F)
    assert bench.begin() == [F], "another for each that ends"
    assert bench.at_work(F) == WINDOW_FIRST - 2


def test_a_function_that_is_refused_altogether_backs_off_alone_to_five_minutes():
    bench = Bench()
    bench.queue(F, 1000)
    pauses = []
    for _ in range(11):
        for function in bench.begin():
            bench.queue(F, 1, due_in_ms=1000)
            bench.over(function, refused=True)
        assert not bench.ready[F], "what could not begin makes room"
        bench.queue(G, 3)
        assert bench.begin() == [G] * 3, "others go on"
        for _ in range(3):
            bench.over(G)
        wake = bench.queues.wake_ms()
        pauses.append((wake - bench.now) // 1000)
        bench.now = wake
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert bench.begin() == [F]
    bench.over(F)
    assert bench.begin() == [F], "after one that went well it goes on"


def test_a_pause_ends_when_the_limit_is_another():
    bench = Bench()
    bench.queue(F, 1000)
    for function in bench.begin():
        bench.over(function, refused=True)
    assert bench.begin() == []
    bench.queues.resume(F, bench.now)
    assert bench.begin() == [F]


@pytest.mark.parametrize("takes_ms", [20, 100, 200, 2_000])
def test_a_function_that_waits_has_ever_more_at_work(takes_ms: int):
    bench = Bench(places=1000)
    bench.queue(F, 100_000)
    ends: deque[int] = deque()
    for _ in range(500):
        while ends and ends[0] <= bench.now:
            ends.popleft()
            bench.over(F)
        ends.extend(bench.now + takes_ms for _ in bench.begin())
        bench.now += 10
    assert bench.at_work(F) >= 32 * WINDOW_FIRST


def test_a_function_that_keeps_the_processors_busy_has_few_at_work_but_for_trials():
    bench = Bench(places=1000)
    bench.queue(F, 100_000)
    at_work = []
    for _ in range(10_000):  # one in ten milliseconds, however many are at work
        bench.begin()
        bench.over(F)
        bench.now += 10
        at_work.append(bench.at_work(F))
    assert statistics.fmean(at_work) < 1.2 * WINDOW_FIRST
    assert max(at_work) <= 2 * WINDOW_FIRST


def test_a_function_that_has_none_is_given_a_place_though_all_are_taken():
    bench = Bench(places=16)
    others = [name(str(number)) for number in range(12)]
    for other in others:
        bench.queue(other, 1_000)
    bench.begin()
    assert all(bench.at_work(other) for other in others)
    bench.queue(F, 10)
    assert bench.begin() == [F]
    assert bench.begin() == []
    bench.over(F)
    assert bench.begin() == [F]
    bench.over(F)
    bench.over(others[0])
    assert F in bench.begin()


def test_a_function_that_was_refused_once_soon_has_as_many_at_work_as_before():
    bench = Bench()
    bench.queue(F, 1_000)
    assert len(bench.begin()) == WINDOW_FIRST
    for _ in range(WINDOW_FIRST):
        bench.over(F, refused=True)
    bench.now += 1_000
    begun = bench.begin()
    while bench.at_work(F) < WINDOW_FIRST:
        assert begun, "nothing begins"
        bench.now += 100
        bench.over(F)
        begun = bench.begin()
        assert bench.now < 1_000_000 + 5_000, "still one after the other"


@pytest.mark.parametrize("refused", [False, True])
def test_nothing_waits_for_longer_when_the_clock_is_set_back(refused: bool):
    bench = Bench()
    bench.now = 10 * HOUR_MS
    bench.queue(F, 100)
    bench.queue(G, 1, due_in_ms=MINUTE_MS)
    assert bench.begin() == [F] * WINDOW_FIRST
    bench.over(F, refused=refused)
    bench.now -= HOUR_MS
    for _ in range(WINDOW_FIRST - 1):
        bench.over(F, refused=refused)
    bench.now += 6 * MINUTE_MS
    assert set(bench.begin()) == {F, G}
    assert bench.queues.growing_in_ms(F, bench.now) <= 500


def test_a_function_that_pauses_after_the_clock_was_set_back_goes_on_after_the_pause():
    bench = Bench()
    bench.now = 10 * HOUR_MS
    bench.queue(F, 1)
    assert bench.begin() == [F]
    bench.queue(F, 1, due_in_ms=MINUTE_MS)
    bench.now -= HOUR_MS
    assert bench.queues.over(F, 0, bench.now, refused=True)
    assert bench.begin() == []
    assert bench.queues.wake_ms() == bench.now + 1000
    bench.now += 1000
    assert bench.begin() == [F]


def test_payloads_are_bounded_in_bytes_and_one_fetch_more_and_first_events():
    bench = Bench()
    bench.queue(F, 1000)
    fetch = bench.queues.take(bench.now)
    bench.queues.fetched(fetch, fetch.places, MEGABYTE, bench.now, bench.now)
    assert bench.queues.take(bench.now) is None
    bench.queue(G, 1000)
    fetch = bench.queues.take(bench.now)
    assert (fetch.function, fetch.places) == (G, 1)
    bench.queues.fetched(fetch, 1, 10, bench.now, bench.now)
    assert bench.queues.take(bench.now) is None
    assert bench.queues.begin(F, bench.now)
    bench.queues.over(F, MEGABYTE, bench.now)
    fetch = bench.queues.take(bench.now)
    assert (fetch.function, fetch.places > 1) == (G, True), "F has many that are ready"


def test_a_function_with_large_events_leaves_bytes_for_others():
    """They are offered as they come, of a sixteenth of the memory each, and none of them is over."""
    bench = Bench()
    while bench.queues.offered(F, MEGABYTE // 16, bench.now):
        pass
    bench.begin()
    for function in (G, H):
        assert [bench.offer(function) for _ in range(10)] == [True] * 10
    bench.queues.queued(G, 10, bench.now, bench.now)
    assert bench.queues.take(bench.now) is not None


def test_of_a_function_that_has_nothing_left_nothing_is_known():
    bench = Bench()
    for _ in range(3):
        bench.queue(F, 40)
        while bench.begin() or bench.at_work(F):
            for _ in range(bench.at_work(F)):
                bench.over(F)
    assert not vars(bench.queues)["_lanes"]
    with pytest.raises(KeyError):
        bench.over(F)


class QueuesOfManyFunctions(RuleBasedStateMachine):
    """Against a plain account of every event: due times, in the store, ready or at work."""

    places = 12
    functions = st.sampled_from([F, G, H])

    def __init__(self) -> None:
        super().__init__()
        self.queues = EventQueues(places=self.places, payload_bytes=MEGABYTE, longest_wait_ms=MINUTE_MS)
        self.now = 24 * HOUR_MS
        self.stored: dict[FunctionName, list[int]] = {F: [], G: [], H: []}
        self.ready: Counter[FunctionName] = Counter()
        self.at_work: Counter[FunctionName] = Counter()
        self.fetches: list[Fetch] = []

    @rule(function=functions, delay=st.sampled_from([0, 0, 500, 60_000]), count=st.integers(1, 20))
    def is_queued(self, function: FunctionName, delay: int, count: int) -> None:
        self.stored[function] += [self.now + delay] * count
        self.queues.queued(function, count, self.now + delay, self.now)

    @rule(function=functions)
    def is_offered(self, function: FunctionName) -> None:
        if self.queues.offered(function, 0, self.now):
            self.ready[function] += 1
        else:
            self.is_queued(function, 0, 1)

    @rule()
    def asks_whose_turn_it_is(self) -> None:
        fetch = self.queues.take(self.now)
        if fetch is not None:
            assert fetch.places > 0
            assert fetch.function not in [other.function for other in self.fetches]
            self.fetches.append(fetch)

    @precondition(lambda self: self.fetches)
    @rule()
    def has_fetched(self) -> None:
        fetch = self.fetches.pop(0)
        stored = sorted(self.stored[fetch.function])
        taken = [due for due in stored[: fetch.places] if due <= fetch.by_ms]
        left = stored[len(taken) :]
        self.stored[fetch.function] = left
        self.ready[fetch.function] += len(taken)
        self.queues.fetched(fetch, len(taken), 0, left[0] if left else None, self.now)

    @rule(function=functions)
    def begins(self, function: FunctionName) -> None:
        if self.ready[function] and self.queues.begin(function, self.now):
            self.ready[function] -= 1
            self.at_work[function] += 1

    @rule(function=functions, refused=st.booleans())
    def is_over(self, function: FunctionName, refused: bool) -> None:
        if not self.at_work[function]:
            return
        self.at_work[function] -= 1
        if refused:
            self.is_queued(function, 1000, 1)
        if self.queues.over(function, 0, self.now, refused=refused):
            count = self.ready.pop(function, 0)
            self.stored[function] += [self.now] * count
            self.queues.given_back(function, count, 0, self.now)

    @rule(ms=st.sampled_from([1, 1000, 300_000, -60_000, -HOUR_MS]))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @invariant()
    def no_more_is_held_than_there_are_places_but_for_first_ones(self) -> None:
        asked = sum(fetch.places for fetch in self.fetches)
        assert self.ready.total() + self.at_work.total() + asked <= self.places + len(self.stored) - 1
        assert self.queues.at_work() == dict(+self.at_work)

    def teardown(self) -> None:
        """Whatever happened: everything ends, and nobody has to ask without being woken."""
        for _ in range(10_000):
            while self.fetches:
                self.has_fetched()
            for function in (F, G, H):
                self.begins(function)
                while self.at_work[function]:
                    self.is_over(function, False)
                    self.begins(function)
            self.asks_whose_turn_it_is()
            if self.fetches:
                continue
            wake = self.queues.wake_ms()
            if wake is None:
                break
            self.now = max(self.now, wake)
        assert self.stored == {F: [], G: [], H: []}
        assert not self.ready.total()


TestQueuesOfManyFunctions = QueuesOfManyFunctions.TestCase
TestQueuesOfManyFunctions.settings = settings(max_examples=60, stateful_step_count=40)

"""Random traffic over the placement service: memory is never given twice, functions take turns, and whoever waits waits
for something."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambent.core.placement import EVENT_WAIT_US, HOLD_US, STARTING_MIB, Placement, Policy

MEMORY_MIB, RESERVE_MIB, OVERCOMMIT, PLACES, WAIT_US = 700, 100, 2.0, 6, 1_000_000
CAPACITY_MIB = OVERCOMMIT * (MEMORY_MIB - RESERVE_MIB)
SIZES = st.sampled_from([128, 400, 1200])


class Traffic(RuleBasedStateMachine):
    """Environments of three functions on a worker that can have 1,200 MiB of them."""

    def __init__(self) -> None:
        super().__init__()
        self.placement = Placement(Policy(OVERCOMMIT, RESERVE_MIB, PLACES, WAIT_US), lambda one: one in self.staying)
        self.now = 0
        self.made = 0
        self.available_mib = MEMORY_MIB
        self.placement.measured(MEMORY_MIB, MEMORY_MIB)
        self.size: dict[str, int] = {}
        self.function: dict[str, str] = {}
        self.since: dict[str, int] = {}
        self.until: dict[str, int] = {}
        self.waiting: dict[str, int] = {}
        """With the number of starts that there had been."""
        self.queued: set[str] = set()
        self.busy: set[str] = set()
        self.staying: set[str] = set()
        """Of those: they are provisioned, be they idle."""
        self.idle: list[str] = []
        """The one used longest ago first."""
        self.leaving: set[str] = set()
        self.has_one_left = False
        """Since memory was measured."""
        self.starts: list[str] = []
        """The functions, in the order in which they had memory."""
        self.had_a_turn: dict[str, int] = {}
        """After how many starts a function had it last."""
        self.seen_starts = 0
        """How many there had been when memory was measured."""

    def take_idle(self) -> str | None:
        return self.idle.pop(0) if self.idle else None

    def settle(self) -> None:
        plan = self.placement.plan(self.take_idle, lambda: self.idle, self.now)
        for environment in plan.start:
            function = self.function[environment]
            del self.waiting[environment]
            own = [other for other in self.waiting if self.function[other] == function]
            assert all(self.since[other] >= self.since[environment] for other in own), "passed by one of its own"
            for other in {self.function[one] for one in self.waiting} - {function}:
                others = [one for one in self.waiting if self.function[one] == other]
                if min(self.since[one] for one in others) + HOLD_US <= self.now:
                    continue  # it may have held the others back for as long as it may
                waits_since = max(min(self.waiting[one] for one in others), self.had_a_turn.get(other, 0))
                assert function not in self.starts[waits_since:], "twice before another's turn"
            self.starts.append(function)
            self.had_a_turn[function] = len(self.starts)
            self.busy.add(environment)
        if plan.start:
            assert self.available_mib - RESERVE_MIB >= STARTING_MIB, "started under pressure"
        if plan.retire and self.available_mib == MEMORY_MIB and len(self.starts) < self.seen_starts + 5:
            needed = max(self.size[one] for one in self.waiting)
            stays = sum(self.size[one] for one in self.busy | set(self.idle)) + self.size[plan.retire[-1]]
            assert stays + needed > CAPACITY_MIB, "one more than had to"
        self.leaving.update(plan.retire)

    @rule(function=st.sampled_from("fgh"), size=SIZES, queued=st.booleans())
    def one_is_asked_for(self, function: str, size: int, queued: bool) -> None:
        self.made += 1
        environment = f"e{self.made}"
        until = self.now + (EVENT_WAIT_US if queued else WAIT_US)
        taken = self.placement.ask(environment, function, function, size, self.now, until, queued=queued)
        callers = len(self.waiting.keys() - self.queued)
        assert taken == ((queued or callers < PLACES) and size <= CAPACITY_MIB - self.staying_mib())
        if taken:
            self.size[environment], self.function[environment] = size, function
            self.since[environment] = self.now
            self.until[environment] = until
            self.waiting[environment] = len(self.starts)
            if queued:
                self.queued.add(environment)
        self.settle()

    def staying_mib(self) -> int:
        return sum(self.size[one] for one in self.staying)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), wait_us=st.sampled_from([WAIT_US, EVENT_WAIT_US]))
    def one_that_waits_is_handed_on(self, data: st.DataObject, wait_us: int) -> None:
        environment = data.draw(st.sampled_from(sorted(self.waiting)))
        self.until[environment] = self.now + wait_us
        self.placement.is_for(environment, self.now + wait_us)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def one_that_has_its_memory_is_handed_on(self, data: st.DataObject) -> None:
        self.placement.is_for(data.draw(st.sampled_from(sorted(self.busy))), self.now + WAIT_US)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def one_is_to_stay(self, data: st.DataObject) -> None:
        self.staying.add(data.draw(st.sampled_from(sorted(self.busy))))

    @precondition(lambda self: self.staying)
    @rule(data=st.data())
    def one_need_not_stay(self, data: st.DataObject) -> None:
        self.staying.remove(data.draw(st.sampled_from(sorted(self.staying))))

    @rule()
    def one_that_never_fits_is_asked_for(self) -> None:
        assert not self.placement.ask("large", "f", "f", 1201, self.now, self.now + WAIT_US)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def one_becomes_idle(self, data: st.DataObject) -> None:
        environment = data.draw(st.sampled_from(sorted(self.busy)))
        self.busy.remove(environment)
        self.staying.discard(environment)
        if self.placement.gives_way(environment, self.now):
            assert any(self.function[other] != self.function[environment] for other in self.waiting)
            self.leaving.add(environment)
            self.placement.leaves(environment)
        else:
            self.idle.append(environment)
        self.settle()

    @precondition(lambda self: self.busy or self.leaving or self.waiting)
    @rule(data=st.data())
    def one_is_gone(self, data: st.DataObject) -> None:
        environment = data.draw(st.sampled_from(sorted(self.busy | self.leaving | set(self.waiting))))
        self.has_one_left |= environment not in self.waiting
        self.busy.discard(environment)
        self.staying.discard(environment)
        self.leaving.discard(environment)
        self.waiting.pop(environment, None)
        self.placement.gone(environment)
        self.settle()

    @rule(available_mib=st.sampled_from([0, RESERVE_MIB - 1, RESERVE_MIB + 70, 400, MEMORY_MIB]))
    def memory_is_measured(self, available_mib: int) -> None:
        self.available_mib = available_mib
        idle = len(self.idle)
        self.placement.measured(MEMORY_MIB, available_mib)
        self.has_one_left, self.seen_starts = False, len(self.starts)
        self.settle()
        if available_mib < RESERVE_MIB:
            assert len(self.idle) < max(idle, 1), "idle ones go first under pressure"
        elif not self.waiting:
            assert len(self.idle) >= idle, "one went that nobody had to make room for"

    @rule(passed_us=st.sampled_from([1, 300_000, WAIT_US, EVENT_WAIT_US]))
    def time_passes(self, passed_us: int) -> None:
        self.now += passed_us
        looks_us = self.placement.looks_us()
        assert (looks_us is not None) == bool(self.waiting)
        assert all(self.until[one] >= looks_us for one in self.waiting), "one is overlooked"
        overdue = self.placement.overdue(self.now)
        assert set(overdue) == {one for one in self.waiting if self.until[one] <= self.now}
        for environment in overdue:
            del self.waiting[environment]
            self.placement.gone(environment)
        self.settle()

    @invariant()
    def no_more_is_given_than_there_is(self) -> None:
        given = sum(self.size[one] for one in self.busy | self.leaving | set(self.idle))
        assert given <= CAPACITY_MIB

    @invariant()
    def whoever_waits_waits_for_something(self) -> None:
        assert self.placement.is_waited_for == bool(self.waiting)
        if self.waiting and not self.leaving and not self.has_one_left:
            kept = sum(self.size[one] for one in self.busy)
            needed = max(self.size[one] for one in self.waiting)
            if kept + needed <= CAPACITY_MIB and self.available_mib == MEMORY_MIB:
                assert not self.idle, "waits beside one that does nothing"
            assert self.busy or self.available_mib < MEMORY_MIB, "waits for nobody"


TestTraffic = Traffic.TestCase

"""Random demand over the pools of generic sandboxes: their memory is bounded, and who is wanted is there."""

from collections import Counter
from heapq import heappop, heappush

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lambent.core.prebooting import (
    HELD_MINUTES,
    LAST_RETRY_US,
    MINUTE_US,
    MOST,
    QUIET_US,
    REFILL_US,
    UNMEASURED_BYTES,
    Plan,
    Prebooting,
)

KINDS = ("java", "node", "python")
SNAPSHOT = "snapshot"
"""A kind that has no minimum."""
MIB = 1024 * 1024
LONG_US = (HELD_MINUTES + MOST.bit_length() + 1) * MINUTE_US
"""Silence after which nothing is remembered."""


class Owner:
    """Does what the policy plans, and keeps its own count of it."""

    def __init__(
        self,
        minimum: int,
        memory_bytes: int,
        boots_at_once: int,
        kinds: tuple[str, ...] = KINDS,
        others: tuple[str, ...] = (),
    ) -> None:
        """`others` have no minimum."""
        self.policy = Prebooting(minimum=minimum, memory_bytes=memory_bytes, boots_at_once=boots_at_once, kinds=kinds)
        self.least = Counter({**dict.fromkeys(kinds, minimum), **dict.fromkeys(others, 0)})
        self.memory_bytes = memory_bytes
        self.boots_at_once = boots_at_once
        self.bytes_each = dict.fromkeys(self.least, UNMEASURED_BYTES)
        self.ready = Counter[str](dict.fromkeys(self.least, 0))
        self.booting = Counter[str](dict.fromkeys(self.least, 0))
        self.now = 0

    def bytes_of(self, counts: Counter[str]) -> int:
        return sum(count * self.bytes_each[kind] for kind, count in counts.items())

    def take(self, kind: str) -> bool:
        had_one = self.ready[kind] > 0
        self.ready[kind] -= had_one
        self.policy.taken(kind, self.now, had_one=had_one)
        return had_one

    def forget(self, kind: str) -> None:
        """And ask for it anew: what there was counts for nothing."""
        self.policy.forget(kind)
        self.ready[kind] = self.booting[kind] = 0
        self.bytes_each[kind] = UNMEASURED_BYTES
        if kind in KINDS:
            self.policy.know(kind)

    def plan(self) -> Plan:
        planned = self.policy.plan(self.now)
        before = self.ready.copy()
        self.ready.subtract(planned.retire)
        self.booting.update(planned.boot)
        assert min(self.ready.values()) >= 0, "one was retired that is not there"
        assert sum(self.booting[kind] for kind in KINDS) <= self.boots_at_once or not planned.boot
        assert self.booting[SNAPSHOT] <= 1
        held = self.bytes_of(self.ready + self.booting)
        assert held <= self.memory_bytes or not self.ready.total(), "over the budget"
        assert held <= self.memory_bytes or not planned.boot
        least = Counter({kind: max(self.least[kind], self.booting[kind]) for kind in self.ready})
        if self.bytes_of(least) <= self.memory_bytes:
            for kind in planned.retire:
                assert self.ready[kind] + self.booting[kind] >= self.least[kind], "retired although it is the minimum"
        assert len(planned.retire) <= self.boots_at_once or self.bytes_of(before) > self.memory_bytes - self.bytes_of(
            self.booting
        )
        assert planned.look_again_us is None or planned.look_again_us > self.now
        return planned

    def boot_ends(self, kind: str, *, well: bool = True) -> None:
        self.booting[kind] -= 1
        if well:
            self.ready[kind] += 1
            self.policy.booted(kind)
        else:
            self.policy.failed(kind, self.now)

    def settle(self, until_us: int) -> None:
        """Make every plan when it is due, and have each boot end well, until the time given: as an owner does that
        looks at no other clock."""
        while True:
            planned = self.plan()
            ending = list(self.booting.elements())
            for kind in ending:
                self.boot_ends(kind)
            if ending:
                continue
            if planned.look_again_us is not None and planned.look_again_us <= until_us:
                self.now = planned.look_again_us
            elif not planned.retire:  # what began just before the end is brought to its own
                break
        self.now = until_us


ALL = (*KINDS, SNAPSHOT)


class Pools(RuleBasedStateMachine):
    @initialize(minimum=st.integers(0, 3), memory_mib=st.sampled_from([0, 20, 100, 400, 4000]), boots=st.integers(1, 4))
    def begin(self, minimum: int, memory_mib: int, boots: int) -> None:
        self.owner = Owner(minimum, memory_mib * MIB, boots, others=(SNAPSHOT,))

    @rule(kind=st.sampled_from(ALL), number=st.sampled_from([1, 1, 2, 7, 40]))
    def cold_starts_come(self, kind: str, number: int) -> None:
        for _ in range(number):
            self.owner.take(kind)

    @rule(passed=st.sampled_from([1, QUIET_US, REFILL_US, MINUTE_US, HELD_MINUTES * MINUTE_US, LONG_US]))
    def time_passes(self, passed: int) -> None:
        self.owner.now += passed

    @rule()
    def a_plan_is_made(self) -> None:
        self.owner.plan()

    @precondition(lambda self: self.owner.booting.total())
    @rule(data=st.data(), well=st.booleans())
    def a_boot_ends(self, data: st.DataObject, well: bool) -> None:
        self.owner.boot_ends(data.draw(st.sampled_from(sorted(self.owner.booting.elements()))), well=well)
        self.owner.plan()

    @precondition(lambda self: self.owner.ready.total())
    @rule(data=st.data())
    def one_that_is_ready_ends(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(sorted(self.owner.ready.elements())))
        self.owner.ready[kind] -= 1
        self.owner.policy.lost(kind, self.owner.now)

    @rule(kind=st.sampled_from(ALL))
    def one_is_forgotten(self, kind: str) -> None:
        self.owner.forget(kind)

    @rule(kind=st.sampled_from(ALL), mib=st.sampled_from([1, 3, 8, 60, 500]))
    def one_is_measured(self, kind: str, mib: int) -> None:
        self.owner.bytes_each[kind] = mib * MIB
        self.owner.policy.measured(kind, mib * MIB)
        self.owner.plan()

    @rule()
    def what_is_wanted_comes_to_be(self) -> None:
        """Left alone for a while, every pool has what it is to have, and nobody has nothing while there is room."""
        owner = self.owner
        for kind in ALL:
            owner.take(kind)
        owner.settle(owner.now + 2 * LAST_RETRY_US)
        assert dict(owner.ready) == owner.policy.targets(owner.now)
        wanted = Counter({kind: max(1, least) for kind, least in owner.least.items()})
        if owner.bytes_of(wanted) <= owner.memory_bytes:
            assert owner.ready >= wanted, "one kind starves"

    @rule()
    def silence_leaves_the_minimum(self) -> None:
        owner = self.owner
        owner.settle(owner.now + LONG_US)
        if owner.bytes_of(owner.least) <= owner.memory_bytes:
            assert owner.ready == owner.least
        assert owner.plan() == Plan(), "it would go on looking for nothing"

    @invariant()
    def each_is_counted_once(self) -> None:
        assert min(self.owner.ready.values()) >= 0
        assert min(self.owner.booting.values()) >= 0


TestPools = Pools.TestCase

ARRIVALS = st.lists(st.integers(0, REFILL_US - 1), min_size=1, max_size=40)
"""When in each refill time cold starts come."""


@settings(max_examples=200)
@given(
    arrivals=st.dictionaries(st.sampled_from(KINDS), ARRIVALS, min_size=1),
    boots_at_once=st.integers(1, 3),
    minimum=st.integers(0, 2),
)
def test_a_steady_arrival_finds_a_sandbox_each_time(
    arrivals: dict[str, list[int]], boots_at_once: int, minimum: int
) -> None:
    """So many a refill time, whenever in it they come, where that many can be booted four times over. A third of them
    may still find none: the pools grow."""
    together = sum(len(times) for times in arrivals.values())
    boot_us = REFILL_US // (4 * together)
    periods = 9
    owner = Owner(minimum, 4096 * MIB, boots_at_once)
    events: list[tuple[int, int, str, str]] = []
    for kind, times in arrivals.items():
        for period in range(periods):
            for time in times:
                heappush(events, (period * REFILL_US + time, 0, "arrives", kind))
    found = []
    order = 0
    planned_for = 0
    while events:
        owner.now, _, what, kind = heappop(events)
        if what == "arrives":
            found.append((owner.now, owner.take(kind)))
        elif what == "booted":
            owner.boot_ends(kind)
        planned = owner.plan()
        order += 1
        for kind in planned.boot:
            heappush(events, (owner.now + boot_us, order, "booted", kind))
        look = planned.look_again_us
        if look is not None and look < periods * REFILL_US and look != planned_for:
            planned_for = look
            heappush(events, (look, order, "look", ""))
    late = [had_one for time, had_one in found if time >= periods // 3 * REFILL_US]
    assert late
    assert all(late)


@given(first=ARRIVALS, apart_us=st.integers(0, 3 * REFILL_US))
def test_as_many_are_wanted_as_were_taken_within_a_refill_time(first: list[int], apart_us: int) -> None:
    owner = Owner(0, 4096 * MIB, 1)
    times = sorted(first + [time + apart_us for time in first])
    for owner.now in times:
        owner.take("python")
    most = max(sum(end - REFILL_US < time <= end for time in times) for end in times)
    assert owner.policy.targets(owner.now) == {"java": 0, "node": 0, "python": most}


@given(burst=st.integers(1, 300), later=st.integers(1, 300))
def test_a_burst_makes_the_pool_as_large_for_the_next_one(burst: int, later: int) -> None:
    assume(later <= burst)
    owner = Owner(0, 8192 * MIB, 2)
    for _ in range(burst):
        owner.take("python")
    owner.settle(owner.now + HELD_MINUTES * MINUTE_US - REFILL_US)
    assert all(owner.take("python") for _ in range(later))


@given(one=st.integers(1, 60), other=st.integers(1, 60), room=st.integers(2, 60))
def test_the_budget_goes_by_demand(one: int, other: int, room: int) -> None:
    owner = Owner(0, room * UNMEASURED_BYTES, 2)
    for kind, number in (("java", one), ("python", other)):
        for _ in range(number):
            owner.take(kind)
    owner.settle(owner.now + 2 * REFILL_US)
    if one + other <= room:
        assert (owner.ready["java"], owner.ready["python"]) == (one, other)
    else:
        assert owner.ready.total() == room
        fair = room * one / (one + other)
        assert abs(owner.ready["java"] - fair) <= 1


def test_while_cold_starts_come_one_is_booted_at_a_time_and_then_more() -> None:
    owner = Owner(0, 1024 * MIB, 4)
    for _ in range(8):
        owner.take("python")
    assert owner.plan().boot == ("python",)
    assert owner.plan().boot == ()
    owner.now += QUIET_US
    assert owner.plan().boot == ("python",) * 3


@pytest.mark.parametrize("how", ["it fails", "it ends before it is taken"])
def test_a_kind_that_can_not_be_had_is_tried_seldom_and_stops_no_other(how: str) -> None:
    owner = Owner(1, 1024 * MIB, 1, ("broken", "sound"))
    tried = 0
    while owner.now < 600 * 1_000_000:
        planned = owner.plan()
        for kind in planned.boot:
            tried += kind == "broken"
            owner.boot_ends(kind, well=kind == "sound" or how != "it fails")
            if kind == "broken" and how != "it fails":
                owner.ready[kind] -= 1
                owner.policy.lost(kind, owner.now)
        if not planned.boot:
            assert planned.look_again_us is not None
            owner.now = planned.look_again_us
    assert owner.ready["sound"] == 1
    assert 8 <= tried <= 20

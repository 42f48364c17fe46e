"""Random traffic over the assignment service: nobody shares an environment, nobody waits for nothing."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambent.core.assignment import DRAINING_GRACE_US, Assignment, StartOne, Use, Wait, tenant_pool

VERSION_OF = {"a": "a", "b": "b", tenant_pool("a", "x"): "a", tenant_pool("a", "y"): "a"}
"""The versions' own pools, and those of tenants of one of them."""
POOLS = st.sampled_from(sorted(VERSION_OF))


class Traffic(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.assignment = Assignment()
        self.now = 0
        self.made = 0
        self.requests = 0
        self.pool_of: dict[str, str] = {}
        self.starting: dict[str, str] = {}
        """With the request that each is for."""
        self.spare: set[str] = set()
        """Of those: when the request was served by another one, no other was without one of its own."""
        self.ahead: set[str] = set()
        self.provisioned: set[str] = set()
        self.surplus: set[str] = set()
        self.leaving: set[str] = set()
        self.idle: set[str] = set()
        self.serving: dict[str, str] = {}
        self.answered: dict[str, int] = {}
        self.waiting: dict[str, str] = {}
        self.rechecks: list[tuple[int, str]] = []
        self.started: dict[str, int] = {}
        self.outlived: set[str] = set()
        """Those at work that are to end with what they do."""

    def new_id(self) -> str:
        self.made += 1
        return f"e{self.made}"

    def follow(self, pool: str, decision: Use | StartOne | Wait) -> None:
        if isinstance(decision, StartOne):
            self.pool_of[decision.environment_id] = pool
            assert decision.request_id not in self.starting.values(), "two are started for one"
            assert self.waiting[decision.request_id] == pool
            self.starting[decision.environment_id] = decision.request_id
            self.started[decision.environment_id] = self.now
        elif isinstance(decision, Wait) and decision.recheck_us is not None:
            assert decision.recheck_us > self.now
            assert any(self.pool_of[e] == pool for e in self.answered.keys() - self.outlived), "waits for none"
            self.rechecks.append((decision.recheck_us, pool))

    def becomes_available(self, environment: str) -> None:
        self.answered.pop(environment, None)
        request = self.assignment.available(environment, self.now)
        if request is None:
            self.idle.add(environment)
        else:
            assert self.waiting.pop(request) == self.pool_of[environment], "served by another pool"
            self.serving[environment] = request
            self.hand_on(environment, request)

    def hand_on(self, environment: str, request: str) -> None:
        handed_on = self.assignment.hand_on(environment, request)
        if handed_on is not None:
            assert self.starting[handed_on.environment_id] == request
            assert handed_on.request_id not in self.starting.values(), "two are started for one"
            assert self.waiting[handed_on.request_id] == self.pool_of[environment]
            self.starting[handed_on.environment_id] = handed_on.request_id
        else:
            self.spare.update(one for one, started_for in self.starting.items() if started_for == request)

    @rule(pool=POOLS, may_start=st.booleans())
    def a_request_arrives(self, pool: str, may_start: bool) -> None:
        self.requests += 1
        request = f"r{self.requests}"
        decision = self.assignment.arrive(pool, request, self.new_id, self.now)
        if isinstance(decision, Use):
            assert decision.environment_id in self.idle
            ahead = {e for e in self.idle & self.provisioned if self.pool_of[e] == pool}
            assert not ahead or decision.environment_id in ahead, "not one of those that stay anyway"
            assert self.pool_of[decision.environment_id] == pool
            self.idle.remove(decision.environment_id)
            self.serving[decision.environment_id] = request
        elif isinstance(decision, StartOne) and not may_start:
            self.assignment.withdraw(decision.environment_id)
        else:
            self.waiting[request] = pool
            self.follow(pool, decision)

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), well=st.booleans())
    def a_start_ends(self, data: st.DataObject, well: bool) -> None:
        environment = data.draw(st.sampled_from(sorted(self.starting)))
        started_for = self.starting.pop(environment)
        if well:
            self.becomes_available(environment)
        else:
            stranded = self.assignment.gone(environment)
            if stranded is not None:
                assert stranded == started_for or started_for not in self.waiting, "another has to do without it"
                assert stranded not in self.starting.values(), "it has one of its own"
                del self.waiting[stranded]

    @rule(pool=POOLS)
    def an_environment_is_started_ahead(self, pool: str) -> None:
        environment = self.new_id()
        self.pool_of[environment] = pool
        self.ahead.add(environment)
        self.provisioned.add(environment)
        self.started[environment] = self.now
        self.assignment.start_ahead(pool, environment, self.now)

    @precondition(lambda self: self.ahead)
    @rule(data=st.data(), well=st.booleans())
    def a_start_ahead_ends(self, data: st.DataObject, well: bool) -> None:
        environment = data.draw(st.sampled_from(sorted(self.ahead)))
        self.ahead.remove(environment)
        if well:
            self.becomes_available(environment)
        else:
            self.provisioned.discard(environment)
            assert self.assignment.gone(environment) is None, "somebody waited for it"

    @precondition(lambda self: self.provisioned)
    @rule(data=st.data())
    def one_need_not_stay(self, data: st.DataObject) -> None:
        environment = data.draw(st.sampled_from(sorted(self.provisioned)))
        self.provisioned.remove(environment)
        retired = self.assignment.unprovision(environment)
        assert retired == (environment in self.idle | self.ahead)
        if retired:
            self.end([environment])
        else:
            self.surplus.add(environment)

    @precondition(lambda self: self.serving)
    @rule(data=st.data())
    def a_caller_is_answered(self, data: st.DataObject) -> None:
        environment = data.draw(st.sampled_from(sorted(self.serving)))
        if environment not in self.answered:
            self.answered[environment] = self.now
            self.assignment.answered(environment, self.now)

    @precondition(lambda self: self.serving)
    @rule(data=st.data(), lost=st.booleans())
    def an_invocation_ends(self, data: st.DataObject, lost: bool) -> None:
        environment = data.draw(st.sampled_from(sorted(self.serving)))
        del self.serving[environment]
        if environment in self.outlived:
            self.answered.pop(environment, None)
            # It may have said so before it was told to end.
            assert lost or self.assignment.available(environment, self.now) is None, "a request given to one that ends"
            assert self.assignment.gone(environment) is None
        elif lost:
            self.answered.pop(environment, None)
            self.provisioned.discard(environment)
            assert self.assignment.gone(environment) is None
        else:
            self.becomes_available(environment)

    @rule(passed=st.sampled_from([1, DRAINING_GRACE_US, 10 * DRAINING_GRACE_US]))
    def time_passes(self, passed: int) -> None:
        self.now += passed
        due = [entry for entry in self.rechecks if entry[0] <= self.now]
        self.rechecks = [entry for entry in self.rechecks if entry[0] > self.now]
        for _, pool in due:
            decision: Use | StartOne | Wait = StartOne("", "")
            while isinstance(decision, StartOne):
                decision = self.assignment.recheck(pool, self.new_id, self.now)
                self.follow(pool, decision)

    @rule(version=st.sampled_from(["a", "b"]))
    def a_version_is_superseded(self, version: str) -> None:
        retired = self.assignment.supersede(version)
        assert {e for e in self.idle | self.ahead if VERSION_OF[self.pool_of[e]] == version} == set(retired)
        own = {e for e in self.provisioned if VERSION_OF[self.pool_of[e]] == version}
        self.provisioned -= own
        self.surplus |= own
        self.end(retired)

    @rule(age=st.sampled_from([0, DRAINING_GRACE_US]))
    def idle_ones_expire(self, age: int) -> None:
        retired = self.assignment.expired(self.now - age)
        assert set(retired) <= self.idle, "an environment retired under its invocation"
        assert not self.provisioned.intersection(retired), "one that stays was retired for being idle"
        assert self.surplus & self.idle <= set(retired), "one that is not needed stays"
        self.end(retired)

    @rule(age=st.sampled_from([0, DRAINING_GRACE_US, 20 * DRAINING_GRACE_US]))
    def some_have_lived_for_long_enough(self, age: int) -> None:
        found = self.assignment.outlived(self.now - age)
        at_work = set(self.serving) - self.outlived
        old = {e for e in self.idle | at_work if self.started[e] < self.now - age}
        assert set(found.staying) == old & self.provisioned
        assert set(found.retired) == old - self.provisioned
        assert len(found.retired) == len(set(found.retired))
        self.outlived |= at_work.intersection(found.retired)
        self.end([environment for environment in found.retired if environment in self.idle])

    def end(self, environments: list[str]) -> None:
        for environment in environments:
            if environment in self.ahead:
                self.ahead.remove(environment)
                self.leaving.add(environment)
            else:
                self.idle.remove(environment)
                assert self.assignment.gone(environment) is None

    @precondition(lambda self: self.leaving)
    @rule(data=st.data(), late=st.booleans())
    def one_that_was_retired_while_it_started_is_gone(self, data: st.DataObject, late: bool) -> None:
        environment = data.draw(st.sampled_from(sorted(self.leaving)))
        if late:
            assert self.assignment.available(environment, self.now) is None, "a request given to one that leaves"
        else:
            self.leaving.remove(environment)
            assert self.assignment.gone(environment) is None

    @invariant()
    def whoever_waits_waits_for_something(self) -> None:
        for pool in VERSION_OF:
            waiting = sum(1 for of in self.waiting.values() if of == pool)
            starting = sum(1 for e in self.starting if self.pool_of[e] == pool)
            rechecks = sum(1 for _, of in self.rechecks if of == pool)
            assert waiting <= starting or rechecks, "a request that nothing will ever serve"
            wanted = [e for e, r in self.starting.items() if self.pool_of[e] == pool and r in self.waiting]
            spare = [e for e in self.spare & set(self.starting) if self.pool_of[e] == pool]
            assert len(wanted) + len(spare) >= min(waiting, starting), "one starts for nobody beside one without"
            assert not waiting or not any(self.pool_of[e] == pool for e in self.idle)


TestTraffic = Traffic.TestCase

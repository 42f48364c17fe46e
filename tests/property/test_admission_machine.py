"""Random traffic and settings over the counting service: no pool grants more than it has, at a time or in a second,
nobody is refused what there is, and all comes to rest."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from lambent.core.admission import (
    ACCOUNT_LIMIT,
    ACCOUNT_RATE,
    RESERVED_LIMIT,
    RESERVED_RATE,
    Admission,
    Limits,
    Provision,
    Refusal,
    Share,
)
from lambent.core.function import FunctionName

F, G, H = (FunctionName("111122223333", "us-east-1", name) for name in "fgh")
PER_S, PER_10_S = 2, 3
"""Small, so that random traffic comes to the limits: requests for each unit, and starts of a function."""
COUNTS = st.one_of(st.none(), st.integers(0, 4))


class Traffic(RuleBasedStateMachine):
    """Three functions of an account with ten units; each has two versions."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(Limits(10, PER_S, PER_10_S))
        self.now = 0
        self.admitted: dict[FunctionName | Provision | None, list[int]] = {}
        """When, by the pool: of a function, of a version, and of the account."""
        self.starts: dict[FunctionName, list[int]] = {}
        self.reserved: dict[FunctionName, int] = {}
        self.provisioned: dict[tuple[FunctionName, str], int] = {}
        self.at_work: list[tuple[FunctionName | None, Share | Provision]] = []
        self.lingering: list[Share | Provision] = []

    def claim(self, function: FunctionName) -> int:
        own = sum(count for (of, _), count in self.provisioned.items() if of == function)
        return self.reserved.get(function, own)

    def unclaimed(self) -> int:
        return 10 - sum(self.claim(function) for function in (F, G, H))

    @rule(function=st.sampled_from([F, G, H]), count=COUNTS)
    def a_function_reserves(self, function: FunctionName, count: int | None) -> None:
        own = sum(provisioned for (of, _), provisioned in self.provisioned.items() if of == function)
        if (own if count is None else count) - self.claim(function) > self.unclaimed() or own > (
            own if count is None else count
        ):
            return
        self.reserved.pop(function, None)
        if count is not None:
            self.reserved[function] = count
        self.admission.reserve(function, count)

    @rule(function=st.sampled_from([F, G, H]), version=st.sampled_from("12"), count=st.integers(0, 3))
    def a_version_is_provisioned(self, function: FunctionName, version: str, count: int) -> None:
        others = sum(
            of_it for key, of_it in self.provisioned.items() if key[0] == function and key != (function, version)
        )
        room = self.reserved.get(function)
        if room is None:
            room = self.unclaimed() + self.claim(function)
        if others + count <= room:
            self.provisioned[function, version] = count
            self.admission.provision(function, version, count)

    @rule(function=st.sampled_from([F, G, H]))
    def a_function_is_deleted(self, function: FunctionName) -> None:
        self.reserved.pop(function, None)
        for version in "12":
            self.provisioned.pop((function, version), None)
        self.at_work = [(None if of == function else of, unit) for of, unit in self.at_work]
        self.admission.forget(function)
        self.admitted.pop(function, None)
        self.starts.pop(function, None)

    @rule(passed_us=st.sampled_from([1, 9_000, 400_000, 990_000, 1_010_000, 4_000_000]))
    def time_passes(self, passed_us: int) -> None:
        self.now += passed_us

    @rule(function=st.sampled_from([F, G, H]), version=st.sampled_from("12"), calls=st.sampled_from([1, 1, 30]))
    def requests_arrive(self, function: FunctionName, version: str, calls: int) -> None:
        """One that stays, or many that are over at once."""
        own = function if function in self.reserved else None
        units = self.reserved[function] if own else self.unclaimed()
        units -= sum(count for (of, _), count in self.provisioned.items() if of == own)
        for _ in range(calls):
            unit = self.admission.admit(function, version, self.now)
            if isinstance(unit, Refusal):
                assert unit in ((RESERVED_LIMIT, RESERVED_RATE) if own else (ACCOUNT_LIMIT, ACCOUNT_RATE))
                if unit in (RESERVED_RATE, ACCOUNT_RATE):
                    # What was provisioned and is still in use may be claimed beyond what is provisioned now.
                    claimed = sum(isinstance(at_work, Provision) for _, at_work in self.at_work)
                    assert self.lately(own, 1_010_000) >= PER_S * (units - claimed), "refused what there is"
                return
            mine = unit if isinstance(unit, Provision) else own
            self.admitted.setdefault(mine, []).append(self.now)
            provisioned = self.provisioned[function, version] if isinstance(unit, Provision) else units
            assert self.lately(mine, 1_000_000) <= PER_S * provisioned
            self.at_work.append((function, unit))
            if own:
                assert sum(1 for of, _ in self.at_work if of == function) <= self.reserved[function]
            if calls > 1:
                self.at_work.pop()
                unit.release()

    def lately(self, pool: FunctionName | Provision | None, within_us: int) -> int:
        return sum(1 for time in self.admitted.get(pool, ()) if time > self.now - within_us)

    @rule(function=st.sampled_from([F, G, H]))
    def an_environment_is_needed(self, function: FunctionName) -> None:
        starts = [time for time in self.starts.get(function, ()) if time > self.now - 10_000_000]
        refusal = self.admission.scale_out(function, self.now)
        assert (refusal is not None) == (len(starts) == PER_10_S)
        if refusal is None:
            self.starts[function] = [*starts, self.now]
        else:
            assert 0 <= refusal.retry_after_s - (starts[0] + 10_000_000 - self.now) / 1_000_000 < 1

    @rule(answered=st.booleans())
    def an_invocation_ends(self, answered: bool) -> None:
        if self.at_work:
            _, unit = self.at_work.pop(0)
            if answered:
                unit.answered()
                self.lingering.append(unit)
            else:
                unit.release()

    @rule()
    def an_environment_is_done(self) -> None:
        if self.lingering:
            self.lingering.pop().over()

    def teardown(self) -> None:
        """When all is over and nothing is claimed, the account has all of its units, and no more."""
        for _, unit in self.at_work:
            unit.release()
        for unit in self.lingering:
            unit.over()
        for function in (F, G, H):
            self.admission.forget(function)
        self.now += 2_000_000
        for _ in range(10):
            assert not isinstance(self.admission.admit(F, "1", self.now), Refusal)
        assert self.admission.admit(G, "1", self.now) == ACCOUNT_LIMIT


TestTraffic = Traffic.TestCase

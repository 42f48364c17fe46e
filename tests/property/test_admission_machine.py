"""Random traffic and settings over the counting service: no pool grants more than it has, and all comes to rest."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from lambent.core.admission import ACCOUNT_LIMIT, RESERVED_LIMIT, Admission, Provision, Share
from lambent.core.function import FunctionName

F, G, H = (FunctionName("111122223333", "us-east-1", name) for name in "fgh")
COUNTS = st.one_of(st.none(), st.integers(0, 4))


class Traffic(RuleBasedStateMachine):
    """Three functions of an account with ten units; each has two versions."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(10)
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

    @rule(function=st.sampled_from([F, G, H]), version=st.sampled_from("12"))
    def a_request_arrives(self, function: FunctionName, version: str) -> None:
        unit = self.admission.admit(function, version)
        if isinstance(unit, str):
            assert unit == (RESERVED_LIMIT if function in self.reserved else ACCOUNT_LIMIT)
            return
        self.at_work.append((function, unit))
        if function in self.reserved:
            assert sum(1 for of, _ in self.at_work if of == function) <= self.reserved[function]

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
        for _ in range(10):
            assert not isinstance(self.admission.admit(F, "1"), str)
        assert self.admission.admit(G, "1") == ACCOUNT_LIMIT


TestTraffic = Traffic.TestCase

"""What must hold, whatever happens: books of the simulation's own, kept from what passes by.

The cheap checks are made at each message; `audit` goes through everything, `rest` says that nothing is left.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lambent.core.admission import Limits
from lambent.core.credentials import Credentials
from lambent.core.errors import ModelledError
from lambent.core.function import FunctionName
from lambent.core.invocation import Invocation
from lambent.core.placement import Policy
from lambent.invoke.configuration import Serving
from lambent.invoke.dispatcher import Completed, Dispatcher
from lambent.observe.ledger import Began, Entry
from lambent.testing.simulation.timeline import Timeline
from lambent.worker import messages


class Violation(BaseException):
    """Something does not hold that must. The text says what. It is no `Exception`: what keeps a server going whatever
    goes wrong in one event must not keep this from being seen."""


def hold(promise: bool, text: str) -> None:
    if not promise:
        raise Violation(text)


@dataclass(slots=True)
class _Call:
    """An invocation that was admitted. It has a unit of concurrency until it is answered."""

    serving: Serving
    answered: bool = False
    told: bool = False
    attempts: int = 0
    over: bool = False


@dataclass(slots=True)
class _Hosted:
    """An environment between its start and its end. `runs` is the invocation whose answer is owed."""

    spec: messages.EnvironmentSpec
    since_us: int
    has_run: bool = False
    available: bool = False
    runs: str | None = None


class Checks:
    """Stands between a dispatcher, its worker, its ledger and its callers. It is the `Ledger`, and the
    `CredentialSource`."""

    def __init__(self, timeline: Timeline, limits: Limits, policy: Policy, memory_mib: int) -> None:
        self._timeline = timeline
        self._limits = limits
        self._room_mib = policy.overcommit * (memory_mib - policy.reserve_mib)
        self._placed_mib = 0
        self._calls: dict[str, _Call] = {}
        self._hosted: dict[str, _Hosted] = {}
        self._began: Counter[str] = Counter()
        self._sessions: set[str] = set()
        self._issued = 0
        self.in_flight: Counter[FunctionName] = Counter()
        """Admitted and not answered yet."""
        self.reserved: dict[FunctionName, int] = {}
        self.provisioned: dict[tuple[FunctionName, str], int] = {}
        self._unanswered = 0
        self._of_version: Counter[tuple[FunctionName, str]] = Counter()
        self.told = self.starts = self.attempts = 0
        self.cold = 0
        """Attempts that were an environment's first."""
        self.memory_mib_us = 0
        """MemorySize of environments, by the time that each was there."""
        self.dispatcher: Dispatcher

    # Callers ------------------------------------------------------------------------------------------------------

    def invoke(
        self,
        serving: Serving,
        invocation: Invocation,
        tell: Callable[[Completed | ModelledError], None],
        *,
        queued: bool = False,
    ) -> None:
        """Have the dispatcher run it. Raises what the dispatcher refuses it with."""
        request_id = invocation.request_id
        call = self._calls[request_id] = _Call(serving)
        version = serving.version
        key = (version.function, version.version)
        self._unanswered += 1
        self.in_flight[version.function] += 1
        self._of_version[key] += 1

        def told(result: Completed | ModelledError) -> None:
            hold(not call.told, f"{request_id} was told twice")
            call.told = True
            self.told += 1
            self._gives_back(call)
            self._forget(request_id, call)
            tell(result)

        try:
            self.dispatcher.invoke(serving, invocation, told, queued=queued)
        except ModelledError:
            hold(not call.told and call.attempts == 0, f"{request_id} was refused, and more than that")
            self._gives_back(call)
            del self._calls[request_id]
            raise
        self._admitted(version.function)

    def _admitted(self, function: FunctionName) -> None:
        reserved = self.reserved.get(function)
        if reserved is not None:
            hold(self.in_flight[function] <= reserved, f"{function.name} has more than its reserved concurrency")
            return
        if not self.reserved and not self.provisioned:
            hold(self._unanswered <= self._limits.concurrency, "more runs than the account may")
            return
        unclaimed = self._limits.concurrency - sum(self.reserved.values())
        used = 0
        for (name, version), count in self._of_version.items():
            if name not in self.reserved:
                used += max(0, count - self.provisioned.get((name, version), 0))
        unclaimed -= sum(count for (name, _), count in self.provisioned.items() if name not in self.reserved)
        hold(used <= max(0, unclaimed), "more runs than the account may have unreserved")

    def _gives_back(self, call: _Call) -> None:
        if not call.answered:
            call.answered = True
            version = call.serving.version
            self._unanswered -= 1
            self.in_flight[version.function] -= 1
            self._of_version[version.function, version.version] -= 1

    def _forget(self, request_id: str, call: _Call) -> None:
        if call.told and (call.over or not call.attempts):
            self._calls.pop(request_id, None)

    def forget(self, function: FunctionName) -> None:
        """The function is gone. What it still runs counts as nobody's."""
        for call in self._calls.values():
            if call.serving.version.function == function and not call.answered:
                call.answered = True
                self._unanswered -= 1
        self.in_flight.pop(function, None)
        for key in [key for key in self._of_version if key[0] == function]:
            del self._of_version[key]

    # Dispatcher and worker ----------------------------------------------------------------------------------------

    def command(self, command: messages.Command) -> None:
        match command:
            case messages.Start(environment_id, spec) | messages.MakeTemplate(environment_id, spec):
                hold(environment_id not in self._hosted, f"{environment_id} is started twice")
                self._hosted[environment_id] = _Hosted(spec, self._timeline.now_us)
                self._placed_mib += spec.memory_mib
                hold(self._placed_mib <= self._room_mib, f"{environment_id} is placed where there is no room")
                self.starts += 1
            case messages.Run(environment_id, invocation):
                self._runs(environment_id, invocation)
            case _:
                pass

    def _runs(self, environment_id: str, invocation: Invocation) -> None:
        request_id = invocation.request_id
        call = self._calls.get(request_id)
        hosted = self._hosted.get(environment_id)
        if hosted is None or call is None:
            raise Violation(f"{request_id} runs in {environment_id}, of which one is not there")
        hold(not call.told, f"{request_id} runs, and its caller has a result")
        hold(call.attempts == 0, f"{request_id} runs twice")
        hold(hosted.runs is None, f"{environment_id} has two invocations at a time")
        hold(hosted.available, f"{environment_id} did not ask for an event")
        version, spec = call.serving.version, hosted.spec
        hold(
            (spec.account, spec.region, spec.function_name, spec.version, spec.package, spec.tenant_id)
            == (
                version.function.account, version.function.region, version.function.name, version.version,
                version.package.digest, call.serving.tenant_id,
            ),
            f"{environment_id} is of another function, version, revision or tenant",
        )  # fmt: skip
        hosted.available = False
        hosted.runs = request_id
        self.cold += not hosted.has_run
        hosted.has_run = True
        call.attempts += 1
        self.attempts += 1

    def event(self, event: messages.Event) -> None:
        """What the worker says, before the dispatcher hears it."""
        match event:
            case messages.Available(environment_id):
                self._hosted[environment_id].available = True
            case messages.Answered(environment_id, request_id):
                hosted = self._hosted[environment_id]
                hold(hosted.runs == request_id, f"{environment_id} answers what it does not run")
                hosted.runs = None
                self._gives_back(self._calls[request_id])
            case messages.Finished(_, request_id):
                self._ends(request_id)
            case messages.Gone(environment_id):
                lost = self._end(environment_id)
                if lost is None or lost.runs is None:
                    return
                if event.took in (messages.TOOK_UNKNOWN, lost.runs):
                    self._gives_back(self._calls[lost.runs])
                else:  # it never began: another environment may have it
                    self._calls[lost.runs].attempts -= 1
            case messages.TemplateRefused(environment_id):
                self._end(environment_id)
            case _:
                pass

    def _end(self, environment_id: str) -> _Hosted | None:
        """The environment is no more."""
        hosted = self._hosted.pop(environment_id, None)
        if hosted is not None:
            self._placed_mib -= hosted.spec.memory_mib
            self.memory_mib_us += hosted.spec.memory_mib * (self._timeline.now_us - hosted.since_us)
        return hosted

    def _ends(self, request_id: str) -> None:
        call = self._calls[request_id]
        call.over = True
        self._forget(request_id, call)

    # Ledger and sessions ------------------------------------------------------------------------------------------

    def append(self, entry: Entry) -> bool:
        if isinstance(entry, Began):
            self._began[entry.request_id] += 1
            hold(self._began[entry.request_id] == 1, f"{entry.request_id} began twice")
        else:
            hold(self._began.pop(entry.request_id, 0) == 1, f"{entry.request_id} ended without a beginning")
            call = self._calls.get(entry.request_id)
            if call is not None and call.attempts and not call.over:  # lost: the dispatcher writes its end
                self._ends(entry.request_id)
        return False

    def flush(self) -> None:
        pass

    def issue(self, *_: str) -> Credentials:
        self._issued += 1
        key = f"key-{self._issued}"
        self._sessions.add(key)
        return Credentials(key, "secret", "token")

    def revoke(self, access_key_id: str) -> None:
        self._sessions.remove(access_key_id)

    # The whole ----------------------------------------------------------------------------------------------------

    def audit(self) -> None:
        """What the dispatcher believes is what has happened."""
        census = self.dispatcher.census()
        in_flight = {function: count for function, count in self.in_flight.items() if count}
        hold(census.in_use == in_flight, f"units of concurrency in use {census.in_use}, work in flight {in_flight}")
        running = Counter(call.serving.version.function for call in self._calls.values() if not call.over)
        hold(census.unfinished == running.total(), f"{census.unfinished} are known, {running.total()} are not over")
        hold(census.environments <= self._hosted.keys(), f"believed in: {census.environments - self._hosted.keys()}")
        began = sum(call.attempts for call in self._calls.values() if not call.over)
        hold(self._began.total() == began, f"{self._began.total()} attempts are open in the ledger, {began} are")

    def memory_gib_h(self) -> float:
        """The MemorySize of environments by the time that each has been there, so far."""
        now = self._timeline.now_us
        there = sum(hosted.spec.memory_mib * (now - hosted.since_us) for hosted in self._hosted.values())
        return (self.memory_mib_us + there) / 1024 / 3_600_000_000

    def rest(self) -> None:
        """Nothing runs any more, and nobody asks for anything."""
        self.audit()
        hold(not self._calls, f"never over: {sorted(self._calls)[:5]}")
        hold(not self._hosted, f"still there: {sorted(self._hosted)[:5]}")
        hold(not self._sessions, f"sessions of nobody: {sorted(self._sessions)[:5]}")
        census = self.dispatcher.census()
        hold(not census.environments and not census.pools, f"not at rest: {census}")

"""A partition's day, drawn from a seed: functions, their callers, changes of their configuration, and faults."""

from random import Random

from lambent.core.admission import Limits
from lambent.core.errors import (
    ModelledError,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
)
from lambent.core.event_invoke import EventInvokeConfig, QueuedEvent, Trials
from lambent.core.function import LATEST, FunctionName
from lambent.core.invocation import Invocation
from lambent.core.placement import Policy
from lambent.core.record import Record
from lambent.invoke.configuration import Serving, ServingConfiguration, serving_of
from lambent.invoke.dispatcher import Completed
from lambent.invoke.events import EventInvocations, Tell
from lambent.store.changes import EventInvokeChanged, FunctionRemoved, ReservationChanged, VersionChanged
from lambent.testing.simulation.checks import Violation
from lambent.testing.simulation.events import EventChecks, MemoryQueue, Neighbours, run_at_once
from lambent.testing.simulation.functions import named, version_of
from lambent.testing.simulation.nature import FAULTLESS, Faults
from lambent.testing.simulation.partition import Partition, Rules
from lambent.testing.simulation.worker import MEASURED_EACH_US

RULES = Rules(
    limits=Limits(concurrency=100, scale_out_per_10_s=200),
    policy=Policy(overcommit=2.0, reserve_mib=256, waiting=50, wait_us=2_000_000),
    idle_timeout_s=60,
    maximal_life_s=240,
)
EVENT_PLACES, EVENTS_UNSETTLED_MAX, EVENT_RETRY_DELAY_S = 64, 4, 5
WELL, ILL, DEAD = "arn:aws:sqs:r:1:well", "arn:aws:sns:r:1:ill", "arn:aws:sqs:r:1:dead"
MEMORIES_MIB = (2_048, 8_192, 1 << 20)
STEPS_FOR_EACH = 60
"""An invocation that takes more steps than this stands for a partition that does not come to rest."""


class Summary(Record, frozen=True):
    """What a run came to. `digest` is of all commands to the worker, with their times."""

    invocations: int
    throttled: int
    faulted: int
    """Told by an error of the platform."""
    starts: int
    steps: int
    seconds: float
    """Of simulated time."""
    digest: int


class Day:
    """The callers and the operators of one partition."""

    def __init__(self, seed: int, invocations: int, *, faults: bool = True) -> None:
        random = Random(seed)  # noqa: S311
        self._seed = seed
        self._random = random
        self._left = invocations
        self._invocations = invocations
        self._throttled = self._faulted = 0
        self.partition = Partition(
            random,
            RULES,
            _faults(random) if faults else FAULTLESS,
            latency_us=random.choice((0, 3_000)),
            memory_mib=random.choice(MEMORIES_MIB),
        )
        self._faults = faults
        self._between_calamities_us = random.choice((500_000, 30_000_000))
        self._revisions = 0
        self._functions: dict[FunctionName, list[Serving]] = {}
        """The versions of each that may be called."""
        self._open_queue()
        self._restored: set[str] = set()
        """The pools of those with SnapStart, which have no provisioned concurrency."""
        self.partition.run_until(2 * MEASURED_EACH_US)  # by then it is known what memory there is
        for _ in range(random.randint(1, 8)):
            self._create()

    def _open_queue(self) -> None:
        """Where asynchronous events wait, and what has them run."""
        timeline, nature = self.partition.timeline, self.partition.nature
        self.event_checks = EventChecks()
        self.queue = MemoryQueue(timeline, nature, self.event_checks)
        self._configuration = ServingConfiguration()
        self.events = EventInvocations(
            store=self.queue,
            configuration=self._configuration,
            deliveries=Neighbours(nature, self.event_checks),
            clock=timeline,
            timers=timeline,
            places=EVENT_PLACES,
            retry_delay_s=EVENT_RETRY_DELAY_S,
            unsettled_max=EVENTS_UNSETTLED_MAX,
        )
        self.events.attempt = self._attempt
        self.events.begin(run_at_once)

    def run(self) -> Summary:
        """Raises Violation, which tells the seed."""
        try:
            return self._run()
        except Violation as violation:
            violation.add_note(self._where())
            raise
        except Exception as error:
            raise Violation(f"the dispatcher has failed: {error!r} ({self._where()})") from error

    def _where(self) -> str:
        return f"seed {self._seed}, {self._invocations} invocations, step {self.partition.steps}"

    def _run(self) -> Summary:
        partition = self.partition
        timeline = partition.timeline
        self._arrivals()
        if self._faults:
            self._calamity()
        self._operator()
        limit = self._invocations * STEPS_FOR_EACH
        while self._left > 0:
            partition.step()
            if partition.steps > limit:
                raise Violation("the partition does not come to rest")
        while len(self.queue):
            partition.step()
            if partition.steps > 2 * limit:
                raise Violation("the queue does not come to rest")
        for name in list(self._functions):
            self._delete(name)
        partition.run_until(timeline.now_us + (RULES.maximal_life_s + 60) * 1_000_000)
        partition.checks.rest()
        self.event_checks.rest()
        return Summary(
            invocations=self._invocations,
            throttled=self._throttled,
            faulted=self._faulted,
            starts=partition.checks.starts,
            steps=partition.steps,
            seconds=timeline.now_us / 1_000_000,
            digest=partition.digest,
        )

    # Functions ----------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        """A function of a new name, or of one that is free again."""
        random = self._random
        free = [name for name in (f"f{number}" for number in range(20)) if name not in self._names()]
        name = named(random.choice(free))
        run_us = int(10 ** random.uniform(3, 6))
        self.partition.nature.means[name.name] = (run_us, int(10 ** random.uniform(4, 6.3)))
        self._functions[name] = [self._publish(name, "$LATEST")]
        self._configuration.apply(VersionChanged(*2 * (self._functions[name][0].version,)))
        self._configure_events(name)
        if random.random() < 0.3:
            self._reserve(name)
        if random.random() < 0.3:
            version = self._publish(name, "1")
            self._functions[name].append(version)
            if random.random() < 0.5:
                self._provision(version)
            else:
                self._restored.add(version.pool_id)
                self.partition.dispatcher.restore(version)

    def _names(self) -> set[str]:
        return {function.name for function in self._functions}

    def _publish(self, name: FunctionName, version: str) -> Serving:
        self._revisions += 1
        tenants = "PER_TENANT" if self._random.random() < 0.2 else None
        return serving_of(
            version_of(
                name,
                version,
                self._revisions,
                timeout_s=self._random.choice((1, 3, 10)),
                memory_mib=self._random.choice((128, 128, 512, 1_024)),
                tenant_isolation_mode=tenants,
                stored=self._random.choice(({}, {"DeadLetterConfig": {"TargetArn": DEAD}})),
            )
        )

    def _update(self, name: FunctionName) -> None:
        """New code: what ran the old one gets no invocation any more."""
        versions = self._functions[name]
        before = versions[0]
        versions[0] = self._publish(name, "$LATEST")
        self._configuration.apply(VersionChanged(*2 * (versions[0].version,)))
        self._configure_events(name)
        self.partition.dispatcher.supersede(before.pool_id)

    def _delete(self, name: FunctionName) -> None:
        dispatcher, checks = self.partition.dispatcher, self.partition.checks
        self._configuration.apply(FunctionRemoved(name))
        for serving in self._functions.pop(name):
            if checks.provisioned.pop((name, serving.version.version), None) is not None:
                dispatcher.provision(serving, 0)
            dispatcher.supersede(serving.pool_id)
        checks.reserved.pop(name, None)
        dispatcher.forget(name)
        # What it still runs is nobody's: one of the same name begins with nothing.
        checks.forget(name)

    def _reserve(self, name: FunctionName) -> None:
        claimed = sum(count for (owner, _), count in self.partition.checks.provisioned.items() if owner == name)
        units = self._random.choice((None, 0, 1, 5, 20))
        if units is not None and units < claimed:
            units = claimed
        if units is None:
            self.partition.checks.reserved.pop(name, None)
        else:
            self.partition.checks.reserved[name] = units
        self._configuration.apply(ReservationChanged(name, units))
        self.partition.dispatcher.reserve(name, units)
        self.events.resume(name)

    def _configure_events(self, name: FunctionName) -> None:
        random = self._random
        self._configuration.apply(
            EventInvokeChanged(
                EventInvokeConfig(
                    name, LATEST, 0,
                    retry_attempts=random.choice((None, 0, 1)), event_age_s=random.choice((60, 300)),
                    on_success=random.choice((None, WELL)), on_failure=random.choice((None, ILL)),
                )
            )
        )  # fmt: skip

    def _provision(self, serving: Serving) -> None:
        name = serving.version.function
        reserved = self.partition.checks.reserved.get(name)
        count = self._random.randint(0, 5 if reserved is None else min(5, reserved))
        key = (name, serving.version.version)
        if count:
            self.partition.checks.provisioned[key] = count
        else:
            self.partition.checks.provisioned.pop(key, None)
        self.partition.dispatcher.provision(serving, count)

    # What comes ---------------------------------------------------------------------------------------------------

    def _arrivals(self) -> None:
        """A burst of calls, and when the next one comes."""
        random = self._random
        if self._left <= 0:
            return
        if not self._functions:
            self._create()
        name = random.choice(list(self._functions))
        for _ in range(min(self._left, random.choice((1, 1, 1, 2, 5, 20, 60)))):
            self._left -= 1
            if random.random() < 0.3:
                self._send(name)
            else:
                self._call(random.choice(self._functions[name]))
        pause_us = random.choice((0, 1_000, 20_000, 200_000, 2_000_000))
        if random.random() < 0.01:
            pause_us = (RULES.idle_timeout_s + 5) * 1_000_000
        self.partition.timeline.call_in(self.partition.nature.about(pause_us), self._arrivals)

    def _call(self, serving: Serving) -> None:
        if serving.version.configuration.tenant_isolation_mode is not None:
            serving = serving.for_tenant(self._random.choice(("blue", "green")))
        invocation = Invocation(self.partition.new_id(), serving.arn, b"{}", wants_tail=self._random.random() < 0.3)
        try:
            self.partition.checks.invoke(serving, invocation, self._told)
        except TooManyRequestsException:
            self._throttled += 1

    def _send(self, name: FunctionName) -> None:
        """An asynchronous invocation."""
        request_id = self.partition.new_id()
        event = QueuedEvent(request_id, name, None, "", Trials(self.partition.timeline.wall_ms()), b"{}")

        def told(error: ModelledError | None) -> None:
            if error is None:
                self.event_checks.accepted.add(request_id)

        self.events.accept(event, told)

    def _attempt(self, event: QueuedEvent, tell: Tell) -> None:
        """As `invoke.frontend` does."""
        versions = self._functions.get(event.function)
        if versions is None:
            raise ResourceNotFoundException("Function not found")
        serving = versions[0]
        if serving.version.configuration.tenant_isolation_mode is not None:
            serving = serving.for_tenant("blue")
        if self.partition.dispatcher.knows(event.request_id):
            raise ServiceException("The attempt before this one is not over.")
        self.event_checks.begins(event)

        def told(result: Completed | ModelledError) -> None:
            if isinstance(result, Completed):
                self.event_checks.ran(event, well=result.answer.error_type is None)
            tell(serving, result)

        invocation = Invocation(event.request_id, serving.arn, event.payload)
        self.partition.checks.invoke(serving, invocation, told, queued=True)

    def _told(self, result: Completed | ModelledError) -> None:
        if isinstance(result, ServiceException):
            self._faulted += 1

    def _operator(self) -> None:
        """Changes a function now and then."""
        random = self._random
        if self._left <= 0:
            return
        if self._functions:
            name = random.choice(list(self._functions))
            match random.randint(0, 9):
                case 0:
                    self._delete(name)
                    self._create()
                case 1 | 2 | 3:
                    self._update(name)
                case 4 | 5:
                    self._reserve(name)
                case 6 | 7:
                    for serving in self._functions[name][1:]:
                        if serving.pool_id not in self._restored:
                            self._provision(serving)
                case _:
                    pass
        self.partition.timeline.call_in(self.partition.nature.about(5_000_000), self._operator)

    def _calamity(self) -> None:
        """The worker dies now and then, and the wall clock is set."""
        random = self._random
        if self._left <= 0:
            return
        if random.random() < 0.5:
            self.partition.kill_worker()
        else:
            self.partition.timeline.step_wall(random.choice((-60_000, -1_000, 1_000, 60_000)))
        self.partition.timeline.call_in(self.partition.nature.about(self._between_calamities_us), self._calamity)


def _faults(random: Random) -> Faults:
    """Each of them is absent from a good part of the seeds."""

    def likelihood(most: float) -> float:
        return random.choice((0.0, most / 5, most))

    return Faults(
        no_sandbox=likelihood(0.1),
        init_fails=likelihood(0.1),
        init_exits=likelihood(0.1),
        init_hangs=likelihood(0.05),
        misfortune=likelihood(0.2),
        idle_exit=likelihood(0.1),
        disk_full=likelihood(0.05),
        disk_stalls=likelihood(0.2),
        undeliverable=likelihood(0.2),
        template_refused=likelihood(0.3),
    )

"""The worker of one node: keeps its execution environments, and carries out a dispatcher's commands.

`handle` takes commands, `emit` gives events; both are `worker.messages` and nothing else, so the dispatcher may be
in this process or in another (`worker/transport.py`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from lambent.clock import Clock
from lambent.core.allowance import Allowance
from lambent.core.environment import Failure, Kind
from lambent.core.limits import INIT_BUDGET_US, PROVISIONED_INIT_BUDGET_US, RESTORE_BUDGET_US
from lambent.worker.booted_sandboxes import BootedSandboxes
from lambent.worker.execution_environment import (
    CanNotRestore,
    EndpointFactory,
    ExecutionEnvironment,
    LaunchError,
    Surroundings,
)
from lambent.worker.messages import (
    Command,
    EnvironmentSpec,
    Event,
    Hello,
    MakeTemplate,
    MemoryMeasured,
    Retire,
    Run,
    Start,
    TemplateRefused,
)
from lambent.worker.runtimes.catalog import InvalidEntrypoint, Runtimes, RuntimeUnavailable
from lambent.worker.runtimes.variables import compose
from lambent.worker.sandbox.driver import Driver, Mount, Program, Sandbox, SandboxError, SandboxSpec, Template

_log = logging.getLogger(__name__)

MEASURED_EVERY_S = 0.25
"""In which some dozens of environments can be started."""
TEMPLATE_ENDS_WITHIN_S = 1.0
"""From when what is restored from it fails for that."""


class Agent:
    """`unpack` gives the tree of a deployment package by its digest, `merge` the one that layers make together. Both
    raise SandboxError where there is none. `measure` tells of the worker's memory, and may raise OSError.
    `endpoint_allowance` is what all sandboxes may take of Lambent's own endpoint."""

    def __init__(
        self,
        *,
        driver: Driver,
        runtimes: Runtimes,
        unpack: Callable[[str], Awaitable[Path]],
        merge: Callable[[Sequence[str]], Awaitable[Path]],
        clock: Clock,
        emit: Callable[[Event], None],
        front_door: EndpointFactory,
        endpoint_allowance: Allowance,
        parallel_starts: int,
        billing_step_ms: int,
        fork: bool,
        preboot_minimum: int,
        preboot_memory_mib: int,
        measure: Callable[[], MemoryMeasured] | None = None,
        init_budget_us: int = INIT_BUDGET_US,
        init_ahead_budget_us: int = PROVISIONED_INIT_BUDGET_US,
        restore_budget_us: int = RESTORE_BUDGET_US,
    ) -> None:
        self._driver = driver
        self._runtimes = runtimes
        self._unpack = unpack
        self._merge = merge
        self._clock = clock
        self._emit = emit
        self._front_door = front_door
        self._endpoint_allowance = endpoint_allowance
        self._parallel_starts = parallel_starts
        self._start_slots = asyncio.Semaphore(parallel_starts)
        self._restore_slots: dict[str, asyncio.Semaphore] = {}
        """By the template, which can have those that are restored from it wait."""
        self._billing_step_ms = billing_step_ms
        self._init_budget_us = init_budget_us
        self._init_ahead_budget_us = init_ahead_budget_us
        self._restore_budget_us = restore_budget_us
        self._fork = fork
        self._preboot_minimum = preboot_minimum
        self._preboot_memory_mib = preboot_memory_mib
        self._measure = measure
        self._measuring: asyncio.TimerHandle | None = None
        self._booted: BootedSandboxes | None = None
        self._environments: dict[str, ExecutionEnvironment] = {}
        self._around: Surroundings | None = None

    async def open(self, tasks: asyncio.TaskGroup) -> Sequence[str]:
        """Start the isolation driver. Returns the protections that this machine does not have."""
        missing = await self._driver.open()
        self._booted = BootedSandboxes(
            self._driver,
            self._clock,
            tasks,
            minimum=self._preboot_minimum,
            memory_bytes=self._preboot_memory_mib << 20,
        )
        self._runtimes.on_ready = self._expect
        self._around = Surroundings(
            clock=self._clock,
            emit=self._emit,
            make_sandbox=self._make_sandbox,
            end_of_template=self._end_of_template,
            front_door=self._front_door,
            allowance=self._endpoint_allowance,
            slots=self._slots,
            tasks=tasks,
            forget=self._forget,
            billing_step_ms=self._billing_step_ms,
            init_budget_us=self._init_budget_us,
            init_ahead_budget_us=self._init_ahead_budget_us,
            restore_budget_us=self._restore_budget_us,
        )
        self._tell_memory()
        return missing

    def _tell_memory(self) -> None:
        if self._measure is None:
            return
        try:
            self._emit(self._measure())
        except OSError as error:
            _log.warning("memory not measured", extra={"reason": str(error)})
        self._measuring = asyncio.get_running_loop().call_later(MEASURED_EVERY_S, self._tell_memory)

    def _expect(self, template: Template) -> None:
        """Functions of a runtime are about to come."""
        assert self._booted is not None, "a runtime before the agent was opened"
        self._booted.know(self._template(template))

    def _template(self, template: Template) -> Template:
        return template if self._fork else replace(template, command=())

    async def close(self) -> None:
        """End all environments and the driver, whatever they are doing."""
        if self._measuring is not None:
            self._measuring.cancel()
        if self._booted is not None:
            self._booted.close()
        environments = list(self._environments.values())
        self._environments.clear()
        await asyncio.gather(*(environment.abandon() for environment in environments), return_exceptions=True)
        await self._driver.close()

    def handle(self, command: Command) -> None:
        match command:
            case Run(environment_id, invocation):
                environment = self._environments.get(environment_id)
                if environment is not None:  # else it has ended, and the dispatcher is about to hear of it
                    environment.run(invocation)
            case Start(environment_id, spec):
                self._start(environment_id, spec)
            case MakeTemplate(environment_id, spec):
                if self._driver.restores:
                    self._start(environment_id, spec, template=True)
                else:
                    # Later, as an event: the dispatcher is in the middle of a decision.
                    asyncio.get_running_loop().call_soon(self._emit, TemplateRefused(environment_id))
            case Hello():
                pass  # for a worker in another process: `lambent.worker.transport` acts upon it
            case Retire(environment_id):
                environment = self._environments.get(environment_id)
                if environment is not None:
                    environment.retire()

    def _start(self, environment_id: str, spec: EnvironmentSpec, *, template: bool = False) -> None:
        assert self._around is not None, "a command before the agent was opened"
        environment = ExecutionEnvironment(environment_id, spec, self._around, template=template)
        self._environments[environment_id] = environment
        environment.start()

    def _forget(self, environment_id: str) -> None:
        self._environments.pop(environment_id, None)
        self._restore_slots.pop(environment_id, None)
        if self._booted is not None:
            self._booted.forget(environment_id)

    def _slots(self, spec: EnvironmentSpec) -> asyncio.Semaphore:
        if spec.template_id is None or spec.template_id not in self._environments:
            return self._start_slots
        return self._restore_slots.setdefault(spec.template_id, asyncio.Semaphore(self._parallel_starts))

    async def _make_sandbox(self, environment_id: str, spec: EnvironmentSpec, kind: Kind) -> tuple[Sandbox, Program]:
        """Raises LaunchError for what is the function's own fault, CanNotRestore for a template that can not be one,
        SandboxError for the rest."""
        code = await self._unpack(spec.package)
        layers = await self._merge(spec.layers) if spec.layers else None
        try:
            await self._runtimes.prepare(spec.runtime)
            launch = self._runtimes.launch(spec.runtime, code, layers)
        except RuntimeUnavailable as error:
            raise SandboxError(str(error)) from error
        except InvalidEntrypoint as error:
            raise LaunchError(Failure("Runtime.InvalidEntrypoint", str(error))) from error
        if kind is Kind.TEMPLATE and not launch.restores:
            raise CanNotRestore
        assert self._booted is not None, "a command before the agent was opened"
        template = replace(self._template(launch.template), network=spec.network)
        sandbox_spec = SandboxSpec(
            sandbox_id=environment_id,
            template=template,
            mounts=(Mount(code, "/var/task"), *([Mount(layers, "/opt")] if layers else ())),
            memory_mib=spec.memory_mib,
            ephemeral_mib=spec.ephemeral_mib,
        )
        if kind is Kind.RESTORED:
            name, snapshot = self._snapshot(spec)
            ahead = self._booted.take_restored(name, sandbox_spec, snapshot)
            sandbox = ahead or await self._driver.create(sandbox_spec, snapshot)
            return sandbox, Program((), compose(spec, launch, sandbox.addresses))
        sandbox = self._booted.take(sandbox_spec) or await self._driver.create(sandbox_spec)
        forked = self._fork and self._driver.forks and launch.forks(spec.variables)
        program = Program(
            () if forked else launch.command,
            compose(spec, launch, sandbox.addresses),
            snapshot=kind is Kind.TEMPLATE,
        )
        return sandbox, program

    async def _end_of_template(self, spec: EnvironmentSpec) -> None:
        """An environment could not be restored. If that is since its template ends, wait until that has been told: so
        whoever gets another environment does not have it restored from the same one."""
        template = self._environments.get(spec.template_id or "")
        if template is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TEMPLATE_ENDS_WITHIN_S):
                    await template.gone.wait()

    def _snapshot(self, spec: EnvironmentSpec) -> tuple[str, Sandbox]:
        """Of the template that the environment is to be restored from: the template's name as well. Raises
        SandboxError."""
        name = spec.template_id or ""
        template = self._environments.get(name)
        if template is None or template.snapshot is None:
            raise SandboxError("the template that it is restored from is gone")
        return name, template.snapshot

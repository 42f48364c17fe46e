"""The worker under soak, and its dispatcher: the real agent on a real driver behind the real connection.

`Dispatcher` follows what it is told of each environment, and keeps the rule of `worker.messages`: an event only for
one that is available and was not retired. `open_worker` serves it, in this process and on one event loop, so that
this process holds what a server would.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lambent.clock import SystemClock
from lambent.core.allowance import Allowance
from lambent.core.credentials import Credentials
from lambent.core.invocation import Answer, Invocation
from lambent.core.limits import REQUEST_BODY_BYTES
from lambent.ids import RandomIds
from lambent.settings import Settings
from lambent.testing.sandboxes import UID_BASE
from lambent.testing.soak.faults import Fault, Lack, Life
from lambent.worker import messages
from lambent.worker.agent import Agent
from lambent.worker.messages import EnvironmentSpec
from lambent.worker.runtimes.catalog import Runtimes
from lambent.worker.sandbox.driver import SandboxError
from lambent.worker.sandbox.drivers import make_driver
from lambent.worker.transport import MessageStream, WorkerServer, connect

WITHIN_S = 60.0
"""How long anything that must come may take, with the machine full of others."""
INIT_BUDGET_US, INIT_AHEAD_BUDGET_US, RESTORE_BUDGET_US = 2_000_000, 5_000_000, 4_000_000
POOLED, POOL_MIB = 1, 40
"""Sandboxes booted ahead, of each kind: at the least, and what all of them may take."""
_RUNTIME = f"python3.{sys.version_info[1]}"


class LeapingClock(SystemClock):
    """The worker's clock: the machine's own, but for the hours that it is put forward while nothing happens."""

    def __init__(self) -> None:
        self._ahead_us = 0

    def monotonic_us(self) -> int:
        return super().monotonic_us() + self._ahead_us

    def leap_h(self, hours: int) -> None:
        self._ahead_us += hours * 3_600_000_000


class Stuck(Exception):
    """Something that must come has not come."""


@dataclass
class Known:
    """What the dispatcher knows of an environment, or of a template: that has `borne` so many that are over."""

    available: bool = False
    made: bool = False
    failed: bool = False
    refused: bool = False
    borne: int = 0
    retired: bool = False
    lost: bool = False
    gone: messages.Gone | None = None
    answers: list[Answer] = field(default_factory=list)
    finished: int = 0
    said: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        return self.lost or self.refused or self.gone is not None

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until it is so, or the environment is no more. Raises Stuck."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while not (is_so() or self.over):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise Stuck(f"not {what} after {WITHIN_S:.0f} s") from None

    def hear(self, event: messages.Event) -> None:
        match event:
            case messages.Available():
                self.available = True
            case messages.Answered(_, _, answer):
                self.answers.append(answer)
            case messages.Finished():
                self.finished += 1
            case messages.LogLines():
                self.said.update(text for _, text in event.lines)
            case messages.Gone():
                self.gone = event
            case messages.TemplateMade():
                self.made = True
            case messages.TemplateFailed():
                self.failed = True
            case messages.TemplateRefused():
                self.refused = True
            case messages.Initialised():
                pass
        self.changed.set()


class Dispatcher:
    """Our end of the connection. `join` opens it, and again after `cut`."""

    def __init__(self, socket: Path, endpoint: tuple[str, int]) -> None:
        self._socket = socket
        self._endpoint = endpoint
        self._known: dict[str, Known] = {}
        self._stream: MessageStream | None = None
        self._new_id = RandomIds().uuid
        self._joined, self._parted = asyncio.Event(), asyncio.Event()

    async def join(self) -> None:
        self._stream = await connect(self._socket, self._hear, self._lose)
        self._stream.send(messages.Hello(*self._endpoint))
        self._parted.clear()
        self._joined.set()

    async def cut(self) -> None:
        assert self._stream is not None
        self._joined.clear()
        self._stream.close()
        await self._parted.wait()

    def _lose(self) -> None:
        self._parted.set()
        for known in self._known.values():
            known.lost = True
            known.changed.set()
        self._known.clear()

    def _hear(self, message: messages.Command | messages.Event) -> None:
        assert isinstance(message, messages.Event)
        assert not isinstance(message, messages.MemoryMeasured), "nothing was given to measure it with"
        name = message.log_stream if isinstance(message, messages.LogLines) else message.environment_id
        known = self._known.get(name)
        if known is not None:
            known.hear(message)

    def _send(self, command: messages.Command) -> None:
        assert self._stream is not None
        self._stream.send(command)

    async def start(self, life: Life) -> Known:
        await self._joined.wait()
        known = self._known[life.name] = Known()
        self._send(messages.Start(life.name, _specification(life)))
        return known

    async def make_template(self, life: Life) -> Known:
        await self._joined.wait()
        known = self._known[life.name] = Known()
        self._send(messages.MakeTemplate(life.name, _specification(life)))
        return known

    async def invoke(self, life: Life, event: str) -> Answer | None:
        """The answer; None from an environment that is over, or that was retired before it had the event."""
        known = self._known.get(life.name)
        if known is None or known.over or known.retired or not known.available:
            return None
        known.available = False
        number, finished = len(known.answers), known.finished
        arn = f"arn:aws:lambda:us-east-1:111122223333:function:{life.name}"
        self._send(messages.Run(life.name, Invocation(self._new_id(), arn, f'"{event}"'.encode())))
        await known.until(lambda: known.finished > finished and (known.available or known.retired), "finished")
        return known.answers[number] if len(known.answers) > number else None

    def retire(self, life: Life) -> None:
        known = self._known.get(life.name)
        if known is not None and not known.retired and not known.over:
            known.retired = True
            self._send(messages.Retire(life.name))

    def forget(self, life: Life) -> None:
        self._known.pop(life.name, None)
        template = self._known.get(life.template)
        if template is not None:
            template.borne += 1
            template.changed.set()


def _specification(life: Life) -> EnvironmentSpec:
    fault = life.fault
    return EnvironmentSpec(
        account="111122223333",
        region="us-east-1",
        function_name="soak",
        version="$LATEST",
        runtime="ruby3.3" if fault.lack is Lack.RUNTIME else fault.program.runtime or _RUNTIME,
        handler="app.handler",
        memory_mib=fault.memory_mib,
        timeout_ms=fault.timeout_ms,
        ephemeral_mib=16,
        package=life.package,
        variables=life.variables,
        credentials=Credentials("id", "secret", "token"),
        log_group="/aws/lambda/soak",
        log_stream=life.name,
        initialization_type=messages.SNAP_START if fault.snap_start else messages.ON_DEMAND,
        template_id=life.template or None,
    )


class Packages:
    """Unpacked packages, a tree for each life, so that a process tells by its mounts whose it is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._faults: dict[str, Fault] = {}

    def put(self, life: Life) -> None:
        self._faults[life.name] = life.fault
        if life.fault.lack is Lack.PACKAGE:
            return
        tree = self._directory / life.name
        tree.mkdir(mode=0o755)
        for name, text, mode in life.fault.program.files:
            (tree / name).write_text(text)
            (tree / name).chmod(mode)

    def remove(self, life: Life) -> None:
        del self._faults[life.name]
        shutil.rmtree(self._directory / life.name, ignore_errors=True)

    async def unpack(self, name: str) -> Path:
        tree = self._directory / name
        if not tree.is_dir():
            raise SandboxError("the deployment package can not be unpacked")
        if self._faults[name].lack is Lack.PACKAGE_SOON:
            shutil.rmtree(tree)
        return tree


async def _merge(_digests: Sequence[str]) -> Path:
    raise SandboxError("these functions have no layers")


@dataclass(frozen=True, slots=True)
class Worker:
    """`place` is the directory that everything of it is in."""

    dispatcher: Dispatcher
    packages: Packages
    place: Path
    data_dir: Path
    clock: "LeapingClock"
    restores: bool
    """Whether its driver does."""


@asynccontextmanager
async def open_worker(driver: str, place: Path, user_ids: int) -> AsyncIterator[Worker]:
    """A worker that may have so many environments at one time, when it is started as root."""
    place.chmod(0o755)
    data_dir, trees = place / "data", place / "trees"
    trees.mkdir(mode=0o755)
    packages = Packages(trees)
    runtimes = Runtimes(Settings().runtimes_dir)
    clock = LeapingClock()
    new_driver = partial(make_driver, driver, data_dir, UID_BASE, user_ids, oci_runtime="")
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:

        async def make_agent(
            emit: Callable[[messages.Event], None], front_door: Callable[[Allowance], asyncio.Protocol]
        ) -> Agent:
            agent = Agent(
                driver=new_driver(),
                runtimes=runtimes,
                unpack=packages.unpack,
                merge=_merge,
                clock=clock,
                emit=emit,
                front_door=front_door,
                endpoint_allowance=Allowance(connections=1_000, held_bytes=REQUEST_BODY_BYTES),
                parallel_starts=Settings().parallel_starts,
                billing_step_ms=1,
                fork=True,
                preboot_minimum=POOLED,
                preboot_memory_mib=POOL_MIB,
                init_budget_us=INIT_BUDGET_US,
                init_ahead_budget_us=INIT_AHEAD_BUDGET_US,
                restore_budget_us=RESTORE_BUDGET_US,
            )
            await agent.open(tasks)
            return agent

        server = WorkerServer(make_agent, tasks)
        socket = place / "worker.sock"
        accepting = await loop.create_unix_server(server.connection, path=str(socket))
        silent = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        host, port = silent.sockets[0].getsockname()
        dispatcher = Dispatcher(socket, (host, port))
        await dispatcher.join()
        try:
            yield Worker(dispatcher, packages, place, data_dir, clock, new_driver().restores)
        finally:
            accepting.close()
            silent.close()
            await server.close()

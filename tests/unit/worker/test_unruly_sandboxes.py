"""An environment whose sandbox or runtime misbehaves: its trouble alone, and no event of a caller's lost."""

import asyncio
import contextlib
import dataclasses
import os
import socket

import pytest
from environment_specs import SPEC
from msgspec.structs import replace

from lambent.core.allowance import Allowance
from lambent.core.invocation import Invocation
from lambent.testing.clock import ManualClock
from lambent.worker import messages
from lambent.worker.execution_environment import ExecutionEnvironment, Surroundings
from lambent.worker.sandbox.driver import Addresses, Exit, Program, Running, SandboxError


def listener() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


class Unruly:
    """Starts, and then does nothing that it is told."""

    addresses = Addresses("127.0.0.1:9001", "127.0.0.1:4566")
    is_lost = False

    def __init__(self) -> None:
        self.told: list[str] = []

    async def start(self, program, on_exit, on_snapshot=None):
        self.on_exit = on_exit
        read, self.write = os.pipe()
        os.set_blocking(read, False)
        return Running(listener(), listener(), read)

    def freeze(self):
        pass

    def thaw(self):
        pass

    def memory_peak_mib(self):
        return 1

    async def kill(self):
        self.told.append("kill")
        os.close(self.write)
        self.on_exit(Exit(signal=9))
        raise SandboxError("its processes are not gone 30 s after they were killed")

    async def destroy(self):
        self.told.append("destroy")
        raise SandboxError("the directory is busy")


class Late(Unruly):
    """Starts when it is let, and ends when it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = asyncio.Event(), asyncio.Event()
        self.listeners: list[socket.socket] = []

    async def start(self, program, on_exit, on_snapshot=None):
        self.asked.set()
        await self.let.wait()
        running = await super().start(program, on_exit, on_snapshot)
        self.listeners += [running.runtime_api, running.endpoint]
        return running

    async def kill(self):
        self.told.append("kill")

    async def destroy(self):
        self.told.append("destroy")
        if self.listeners:
            os.close(self.write)
            self.on_exit(Exit(signal=9))


class LateClock(ManualClock):
    """By which every deadline has passed when it is looked at."""

    def monotonic_us(self) -> int:
        self.advance_ms(3_600_000)
        return super().monotonic_us()


class Connection:
    """One of the runtime's, in `next`; `open` is False for one that is hanging up."""

    def __init__(self, *, open_: bool) -> None:
        self.open = open_
        self.delivered: list[str] = []

    def deliver(self, invocation, deadline_ms, tenant_id):
        if self.open:
            self.delivered.append(invocation.request_id)
        return self.open

    def close(self):
        pass


def surroundings(sandbox, emit, tasks, forget=lambda environment_id: None, *, clock=None, make_sandbox=None):
    async def make_sandbox_at_once(environment_id, spec, kind):
        return sandbox, Program(("/bin/true",), {})

    async def has_ended(_spec):
        pass

    return Surroundings(
        clock=clock or ManualClock(),
        emit=emit,
        make_sandbox=make_sandbox or make_sandbox_at_once,
        end_of_template=has_ended,
        front_door=lambda _allowance: asyncio.Protocol(),
        allowance=Allowance(connections=100, held_bytes=1),
        slots=lambda _spec: asyncio.Semaphore(1),
        tasks=tasks,
        forget=forget,
        billing_step_ms=100,
        init_budget_us=10_000_000,
        init_ahead_budget_us=130_000_000,
        restore_budget_us=10_000_000,
    )


def telling(gone):
    """Hears what an environment tells, for its end."""
    return lambda event: isinstance(event, messages.Gone) and gone.set()


KINDS = {"fresh": (SPEC, False), "template": (SPEC, True), "restored": (replace(SPEC, template_id="t"), False)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sandbox_that_comes_when_its_environment_is_to_go_is_taken_away(kind):
    """Whatever the time: each deadline of the environment has passed before."""
    spec, template = KINDS[kind]
    sandbox = Late()
    sandbox.let.set()

    async def run():
        asked, let, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def make_sandbox(environment_id, spec, kind):
            asked.set()
            await let.wait()
            return sandbox, Program(("/bin/true",), {})

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            emit = telling(gone)
            around = surroundings(sandbox, emit, tasks, clock=LateClock(), make_sandbox=make_sandbox)
            environment = ExecutionEnvironment("e1", spec, around, template=template)
            environment.start()
            await asked.wait()
            environment.retire()
            for _ in range(20):  # in which what is due happens
                await asyncio.sleep(0.001)
            let.set()
            await gone.wait()

    asyncio.run(run())
    assert "destroy" in sandbox.told
    assert all(listener.fileno() < 0 for listener in sandbox.listeners)


def test_a_program_that_is_restored_too_late_is_not_served():
    sandbox = Late()

    async def run():
        gone = asyncio.Event()
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            around = surroundings(sandbox, telling(gone), tasks, clock=LateClock())
            environment = ExecutionEnvironment("e1", KINDS["restored"][0], around)
            environment.start()
            await gone.wait()
            sandbox.let.set()

    asyncio.run(run())
    assert "destroy" in sandbox.told
    assert sandbox.listeners == []


async def settled():
    """When all that was begun is over."""
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)


async def started(environment):
    environment.start()
    await settled()


async def with_an_event_for_who_has_left(sandbox, emit, tasks):
    """An environment with an event, whose runtime has hung up after it had asked for that."""
    environment = ExecutionEnvironment("e1", SPEC, surroundings(sandbox, emit, tasks))
    await started(environment)
    assert environment.asks_next(Connection(open_=False)) is None
    environment.run(Invocation("r1", "arn", b"{}"))
    return environment


def test_an_event_is_not_given_to_a_runtime_that_hangs_up_but_to_its_next_request():
    back = Connection(open_=True)

    async def run():
        async with asyncio.TaskGroup() as tasks:
            environment = await with_an_event_for_who_has_left(Unruly(), lambda event: None, tasks)
            refused = environment.asks_next(back)
            with contextlib.suppress(SandboxError):
                await environment.abandon()
            return refused

    assert asyncio.run(run()) is None
    assert back.delivered == ["r1"]


def test_an_event_that_a_program_ended_without_having_goes_to_the_one_that_is_started_for_it():
    sandbox, back = Unruly(), Connection(open_=True)
    told = []

    async def run():
        async with asyncio.TaskGroup() as tasks:
            environment = await with_an_event_for_who_has_left(sandbox, told.append, tasks)
            os.close(sandbox.write)
            sandbox.on_exit(Exit(code=1))
            await settled()  # its start anew
            refused = environment.asks_next(back)
            with contextlib.suppress(SandboxError):
                await environment.abandon()
            return refused

    assert asyncio.run(run()) is None
    assert back.delivered == ["r1"]
    assert not any(isinstance(event, messages.Answered) for event in told)


def test_an_event_that_nothing_can_be_started_for_any_more_is_given_back():
    sandbox, told = Unruly(), []

    async def refuse(*_):
        raise SandboxError("the sandbox launcher has ended")

    async def run():
        async with asyncio.TaskGroup() as tasks:
            await with_an_event_for_who_has_left(sandbox, told.append, tasks)
            os.close(sandbox.write)
            sandbox.start = refuse
            sandbox.on_exit(Exit(signal=9))

    asyncio.run(run())
    assert told[-1] == messages.Gone("e1", "the sandbox launcher has ended", took=None)
    assert not any(isinstance(event, messages.Answered | messages.Finished) for event in told)


def test_a_template_whose_launcher_ends_has_not_failed_to_initialise():
    sandbox, told = Unruly(), []

    async def run():
        async with asyncio.TaskGroup() as tasks:
            environment = ExecutionEnvironment("t1", SPEC, surroundings(sandbox, told.append, tasks), template=True)
            await started(environment)
            os.close(sandbox.write)
            sandbox.is_lost = True
            sandbox.on_exit(Exit(signal=9))

    asyncio.run(run())
    assert told[-1] == messages.Gone("t1", "its sandbox has ended under it")
    assert not any(isinstance(event, messages.TemplateFailed) for event in told)


def test_what_can_not_be_restored_is_told_after_the_end_of_its_template():
    told = []

    async def run():
        async with asyncio.TaskGroup() as tasks:
            template_told = asyncio.Event()

            async def fail(*_):
                raise SandboxError("the template that it is restored from is gone")

            async def end_of_template(spec):
                assert spec.template_id == "t1"
                await template_told.wait()

            around = surroundings(Unruly(), told.append, tasks, make_sandbox=fail)
            around = dataclasses.replace(around, end_of_template=end_of_template)
            environment = ExecutionEnvironment("e1", replace(SPEC, template_id="t1"), around)
            environment.start()
            await settled()
            assert told == []
            template_told.set()

    asyncio.run(run())
    assert told == [messages.Gone("e1", "the template that it is restored from is gone")]


def test_an_event_that_crosses_the_loss_of_the_launcher_disturbs_nothing():
    sandbox, waiting = Unruly(), Connection(open_=True)
    told = []

    async def run():
        async with asyncio.TaskGroup() as tasks:
            environment = ExecutionEnvironment("e1", SPEC, surroundings(sandbox, told.append, tasks))
            await started(environment)
            assert environment.asks_next(waiting) is None
            os.close(sandbox.write)
            sandbox.is_lost = True
            sandbox.on_exit(Exit(signal=9))
            environment.run(Invocation("r1", "arn", b"{}"))

    asyncio.run(run())
    assert waiting.delivered == []
    assert told[-1] == messages.Gone("e1", "its sandbox has ended under it")


def test_a_fault_in_starting_one_environment_ends_that_one_alone():
    class Faulty(Unruly):
        async def start(self, program, on_exit, on_snapshot=None):
            raise ValueError("not enough values to unpack")

        async def destroy(self):
            self.told.append("destroy")

    sandbox = Faulty()
    events = []

    async def run():
        async with asyncio.TaskGroup() as tasks:
            await started(ExecutionEnvironment("e1", SPEC, surroundings(sandbox, events.append, tasks)))

    asyncio.run(run())
    assert sandbox.told == ["destroy"]
    assert messages.Gone("e1", "a fault of the worker: ValueError") in events


def test_a_program_that_can_not_be_listened_to_is_ended():
    class Deaf(Unruly):
        async def start(self, program, on_exit, on_snapshot=None):
            running = await super().start(program, on_exit)
            running.endpoint.close()
            return running

        async def kill(self):
            self.told.append("kill")
            os.close(self.write)
            self.on_exit(Exit(signal=9))

        async def destroy(self):
            self.told.append("destroy")

    sandbox = Deaf()
    events = []

    async def run():
        async with asyncio.TaskGroup() as tasks:
            environment = ExecutionEnvironment("e1", SPEC, surroundings(sandbox, events.append, tasks))
            await started(environment)
            environment.retire()

    asyncio.run(run())
    assert sandbox.told == ["destroy"]
    (gone,) = (event for event in events if isinstance(event, messages.Gone))
    assert "Bad file descriptor" in gone.reason


def test_an_environment_whose_sandbox_refuses_to_go_is_gone_for_its_dispatcher_all_the_same():
    sandbox = Unruly()
    gone = asyncio.Event()
    events = []
    forgotten = []

    def emit(event):
        events.append(event)
        if isinstance(event, messages.Gone):
            gone.set()

    async def run():
        async with asyncio.TaskGroup() as tasks:
            around = surroundings(sandbox, emit, tasks, forgotten.append)
            environment = ExecutionEnvironment("e1", SPEC, around)
            environment.start()
            environment.retire()
            async with asyncio.timeout(5):
                await gone.wait()

    asyncio.run(run())
    assert sandbox.told == ["kill", "destroy"]
    assert forgotten == ["e1"]
    assert messages.Gone("e1", "") in events

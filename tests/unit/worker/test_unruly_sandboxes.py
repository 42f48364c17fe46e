"""A sandbox that can not be killed or taken away is one environment's trouble, not the worker's."""

import asyncio
import os
import socket

from lambent.testing.clock import ManualClock
from lambent.worker import messages
from lambent.worker.execution_environment import ExecutionEnvironment, Surroundings
from lambent.worker.sandbox.driver import Addresses, Exit, Program, Running, SandboxError

SPEC = messages.EnvironmentSpec(
    account="111122223333",
    region="us-east-1",
    function_name="f",
    version="$LATEST",
    runtime="python3.13",
    handler="app.handler",
    memory_mib=128,
    timeout_ms=3000,
    ephemeral_mib=512,
    package="0" * 64,
    variables={},
    credentials=messages.Credentials("id", "secret", "token"),
    log_group="/aws/lambda/f",
    log_stream="s",
)


def listener() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


class Unruly:
    """Starts, and then does nothing that it is told."""

    addresses = Addresses("127.0.0.1:9001", "127.0.0.1:4566")

    def __init__(self) -> None:
        self.told: list[str] = []

    async def start(self, program, on_exit):
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


def test_an_environment_whose_sandbox_refuses_to_go_is_gone_for_its_dispatcher_all_the_same():
    sandbox = Unruly()
    gone = asyncio.Event()
    events = []
    forgotten = []

    def emit(event):
        events.append(event)
        if isinstance(event, messages.Gone):
            gone.set()

    async def make_sandbox(environment_id, spec):
        return sandbox, Program(("/bin/true",), {})

    async def run():
        async with asyncio.TaskGroup() as tasks:
            around = Surroundings(
                clock=ManualClock(),
                emit=emit,
                make_sandbox=make_sandbox,
                front_door=asyncio.Protocol,
                start_slots=asyncio.Semaphore(1),
                tasks=tasks,
                forget=forgotten.append,
                billing_step_ms=100,
            )
            environment = ExecutionEnvironment("e1", SPEC, around)
            environment.start()
            environment.retire()
            async with asyncio.timeout(5):
                await gone.wait()

    asyncio.run(run())
    assert sandbox.told == ["kill", "destroy"]
    assert forgotten == ["e1"]
    assert messages.Gone("e1", "") in events

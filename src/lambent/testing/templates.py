"""Python functions on a bench of `sandboxes.py` that initialise once and are restored, with a Runtime API each."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from lambent.settings import Settings
from lambent.testing.sandboxes import Bench, Watched
from lambent.worker.runtimes.catalog import Runtimes
from lambent.worker.runtimes.launch import Launch
from lambent.worker.sandbox.driver import Booted, Mount, Program, Sandbox, SandboxSpec

_WITHIN_S = 30.0
_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {number}\r\n"
    "Lambda-Runtime-Deadline-Ms: 4102444800000\r\nLambda-Runtime-Invoked-Function-Arn: arn\r\n"
    "Content-Length: {length}\r\n\r\n"
)


@dataclass
class Restored:
    """A started program and its Runtime API."""

    sandbox: Sandbox
    watched: Watched
    events: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    posted: asyncio.Queue[tuple[str, bytes]] = field(default_factory=asyncio.Queue)

    async def ask(self, event: Any = None) -> Any:
        """What the function answers."""
        self.events.put_nowait(json.dumps(event).encode())
        async with asyncio.timeout(_WITHIN_S):
            path, body = await self.posted.get()
        assert path.endswith("/response"), (path, body)
        return json.loads(body)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                lengths = [int(line.partition(":")[2]) for line in head if line.startswith("content-length:")]
                body = await reader.readexactly(lengths[0]) if lengths else b""
                if "transfer-encoding: chunked" in head:
                    while size := int(await reader.readline(), 16):
                        body += (await reader.readexactly(size + 2))[:-2]
                    await reader.readline()
                if head[0].startswith("get"):
                    event = await self.events.get()
                    if event is None:
                        return
                    number += 1
                    writer.write(_HEAD.format(number=number, length=len(event)).encode() + event)
                else:
                    self.posted.put_nowait((head[0].split()[1], body))
                    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


class Functions:
    """Functions of one runtime on a bench. `executed` has them started afresh, and not forked from a zygote; `ahead`
    has each that is restored booted before it is asked for."""

    def __init__(self, bench: Bench, launch: Launch, *, executed: bool, ahead: bool) -> None:
        self._bench = bench
        self._launch = launch
        self._executed = executed
        self._ahead = ahead
        self._made = 0
        self._started: list[tuple[Restored, asyncio.Server]] = []

    async def template(self, code: str, command: tuple[str, ...] = ()) -> tuple[Restored, asyncio.Event]:
        """Start a function as a template. The event is set when it can be restored."""
        file = self._bench.code / "app.py"
        file.write_text(code)
        file.chmod(0o644)
        sandbox = await self._bench.driver.create(self.spec("template"))
        ready = asyncio.Event()
        template = Restored(sandbox, Watched())
        own = command or (self._launch.command if self._executed else ())
        program = Program(own, self._variables(sandbox, {}), snapshot=True)
        running = await sandbox.start(program, template.watched.ended.set_result, ready.set)
        template.watched.attach(running)
        await self._serve(template)
        return template, ready

    async def initialised(self, code: str, command: tuple[str, ...] = ()) -> Sandbox:
        """A template that can be restored."""
        template, ready = await self.template(code, command)
        template.watched.ended.add_done_callback(lambda _: waiting.cancel())
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait([waiting], timeout=_WITHIN_S)
        assert ready.is_set(), await template.watched.says("never")
        return template.sandbox

    async def boot(self, template: Sandbox, on_lost: Callable[[str], None] = lambda _: None) -> Booted:
        """One that is restored ahead of need."""
        return await self._bench.driver.boot(self.spec("restored"), on_lost, template)

    async def create(self, template: Sandbox, booted: Booted | None = None) -> Sandbox:
        if self._ahead and booted is None:
            booted = await self.boot(template)
        spec = self.spec("restored")
        driver = self._bench.driver
        return await driver.create(spec, template) if booted is None else driver.claim(booted, spec)

    async def restore(self, template: Sandbox, booted: Booted | None = None, **variables: str) -> Restored:
        restored = Restored(await self.create(template, booted), Watched())
        program = Program((), self._variables(restored.sandbox, variables))
        async with asyncio.timeout(_WITHIN_S):
            running = await restored.sandbox.start(program, restored.watched.ended.set_result)
        restored.watched.attach(running)
        await self._serve(restored)
        return restored

    async def _serve(self, one: Restored) -> None:
        self._started.append((one, await asyncio.start_server(one.converse, sock=one.watched.running.runtime_api)))

    async def close(self) -> None:
        """End every conversation, and all programs that were started until now."""
        started, self._started = self._started, []
        for one, server in started:
            server.close()
            one.events.put_nowait(None)
            await one.sandbox.destroy()
            await server.wait_closed()
            await one.watched.outcome()

    def spec(self, kind: str) -> SandboxSpec:
        self._made += 1
        mounts = (Mount(self._bench.code, "/var/task"),)
        return SandboxSpec(f"{kind}-{self._made}", self._launch.template, mounts, memory_mib=512, ephemeral_mib=64)

    def _variables(self, sandbox: Sandbox, variables: dict[str, str]) -> dict[str, str]:
        return {
            **self._launch.variables,
            "PATH": "/usr/bin:/bin",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "_HANDLER": "app.handler",
            "AWS_LAMBDA_RUNTIME_API": sandbox.addresses.runtime_api,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            **variables,
        }


@asynccontextmanager
async def functions_of(
    bench: Bench, runtime: str, *, executed: bool = False, ahead: bool = False
) -> AsyncIterator[Functions]:
    """Raises RuntimeUnavailable where the machine has no such interpreter."""
    runtimes = Runtimes(Settings().runtimes_dir)
    await runtimes.prepare(runtime)
    functions = Functions(bench, runtimes.launch(runtime, bench.code), executed=executed, ahead=ahead)
    try:
        yield functions
    finally:
        await functions.close()

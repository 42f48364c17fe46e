"""The process in which sandboxes are tried, as root or as an ordinary user: it opens a bench, lays out on the machine
what probes reach for, and obeys `arena.Arena` line by line.

    arena_process.py DRIVER [USER]

Started as root it first gets a mount namespace of its own, in which others may read the interpreter and this checkout
wherever they lie; then it becomes USER if one is given.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import secrets
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambent.testing.ordinary_user import become, open_the_way
from lambent.testing.sandboxes import UID_BASE, Bench, Watched, open_bench
from lambent.worker.sandbox.driver import Sandbox, SandboxError

HERE = Path(__file__).parent
CONTROL_WITHIN_S = 60.0
ORDINARY_USER = UID_BASE - 7
_CREATE, _REMOVE = 0o1666, 0


@contextlib.contextmanager
def laid_out(bench: Bench, unisolated: Bench) -> Iterator[dict[str, str]]:
    """What probes reach for. Everybody may use all of it, so that nothing but the sandbox is in the way."""
    beside, mark = bench.code.parent, secrets.token_hex(8)
    (beside / "canary").write_text("canary")
    (bench.data_dir / "state").write_text("state")
    code = [place.code / name for place in (bench, unisolated) for name in ("shared", "linked")]
    for path in code:
        path.write_text("print('shared')")
    for path in (beside / "canary", bench.data_dir / "state", *code):
        path.chmod(0o644)
    abstract = f"lambent-{mark}"
    services = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    services[1].bind("\0" + abstract)
    services[2].bind(str(beside / "service"))
    (beside / "service").chmod(0o666)
    for service in services:
        service.listen()
        asyncio.get_running_loop().add_reader(service, _greet, service)
    libc = ctypes.CDLL(None)
    key = secrets.randbelow(1 << 30) + 1
    memory, queue = libc.shmget(key, 4096, _CREATE), libc.msgget(key, _CREATE)
    assert min(memory, queue) >= 0
    try:
        yield {
            "beside": str(beside),
            "canary": str(beside / "canary"),
            "state": str(bench.data_dir / "state"),
            "sandbox_data": str(bench.data_dir),
            "process_data": str(unisolated.data_dir),
            "port": str(services[0].getsockname()[1]),
            "abstract": abstract,
            "socket": str(beside / "service"),
            "shared_memory": str(key),
            "queue": str(key),
            "mark_one": mark[:8],
            "mark_other": mark[8:],
            "user": str(os.geteuid()),
        }
    finally:
        libc.shmctl(memory, _REMOVE, None)
        libc.msgctl(queue, _REMOVE, None)
        for service in services:
            asyncio.get_running_loop().remove_reader(service)
            service.close()


def _greet(service: socket.socket) -> None:
    with contextlib.suppress(OSError), service.accept()[0] as connection:
        connection.sendall(b"hello")


class Arena:
    """What the lines ask for. Sandboxes and programs are told by numbers."""

    def __init__(self, benches: dict[str, Bench], facts: dict[str, str]) -> None:
        self._benches = benches
        self._facts = facts
        self._sandboxes: list[Sandbox] = []
        self._programs: list[Watched] = []

    async def facts(self) -> dict[str, Any]:
        return {"facts": self._facts, "missing": self._benches["sandbox"].missing}

    async def create(self, bench: str, limits: dict[str, int]) -> int:
        self._sandboxes.append(await self._benches[bench].create(**limits))
        return len(self._sandboxes) - 1

    async def start(
        self, sandbox: int, bench: str, script: str, arguments: list[str], variables: dict[str, str]
    ) -> int:
        command = [self._benches[bench].python, "-I", "-c", script, *arguments]
        watched = await self._benches[bench].start(self._sandboxes[sandbox], *command, **variables)
        self._programs.append(watched)
        return len(self._programs) - 1

    async def says(self, program: int, text: str) -> str:
        return await self._programs[program].says(text)

    async def outcome(self, program: int) -> dict[str, Any]:
        outcome = await self._programs[program].outcome()
        return {"output": outcome.output, "code": outcome.exit.code, "signal": outcome.exit.signal}

    async def freeze(self, sandbox: int) -> None:
        self._sandboxes[sandbox].freeze()

    async def kill(self, sandbox: int) -> None:
        await self._sandboxes[sandbox].kill()

    async def destroy(self, sandbox: int) -> None:
        await self._sandboxes[sandbox].destroy()

    async def caged(self, without: list[str], script: str, arguments: list[str]) -> dict[str, Any]:
        user = ORDINARY_USER if os.geteuid() == 0 else os.geteuid()
        words = [str(HERE / "cage.py"), ",".join(without), str(user), script, *arguments]
        return await _outside(words, {})

    async def unprivileged(self, script: str, arguments: list[str]) -> dict[str, Any]:
        identity = {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []} if os.geteuid() == 0 else {}
        return await _outside(["-I", "-c", script, *arguments], identity)


async def _outside(words: list[str], identity: dict[str, Any]) -> dict[str, Any]:
    """A Python program on the machine itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *words),
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **identity,
    )
    try:
        async with asyncio.timeout(CONTROL_WITHIN_S):
            output, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    code = await process.wait()
    return {"output": output.decode(errors="replace"), "code": max(code, 0), "signal": -code if code < 0 else None}


async def obey(arena: Arena) -> None:
    """Until the lines end."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        name, arguments = json.loads(line)
        try:
            answer = {"answer": await getattr(arena, name)(**arguments)}
        except Exception:  # noqa: BLE001 - told to the test, which raises it
            answer = {"error": traceback.format_exc()}
        _say(answer)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main(driver: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            bench = await stack.enter_async_context(open_bench(driver))
        except SandboxError as error:
            _say({"impossible": str(error)})
            return
        process = await stack.enter_async_context(open_bench("process"))
        facts = stack.enter_context(laid_out(bench, process))
        # What the probes look for among processes; it ends with its input.
        waiting = [sys.executable, "-c", "input()", facts["mark_one"] + facts["mark_other"]]
        secret = {"SECRET": facts["mark_one"] + facts["mark_other"]}
        canary = await asyncio.create_subprocess_exec(*waiting, stdin=asyncio.subprocess.PIPE, env=secret)
        facts["process"] = str(canary.pid)
        _say({"answer": None})
        await obey(Arena({"sandbox": bench, "process": process}, facts))
        canary.kill()
        await canary.wait()


if __name__ == "__main__":
    if os.geteuid() == 0:
        if len(sys.argv) > 2:
            become(int(sys.argv[2]))
            os.execv(sys.executable, [sys.executable, *sys.argv[:2]])
        open_the_way()
    asyncio.run(main(sys.argv[1]))

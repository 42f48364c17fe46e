"""The real front door over chosen handlers, on a free port of loopback: for driving one package's API with real
clients (boto3, the AWS CLI) without the rest of the server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.config

from lambent.core.allowance import Allowance
from lambent.core.limits import REQUEST_BODY_BYTES
from lambent.identity.authentication import Identity
from lambent.identity.credentials import IssuedCredentials
from lambent.ids import RandomIds
from lambent.server.front_door import FrontDoor
from lambent.server.http_protocol import Connections
from lambent.server.listening import listen, url_of
from lambent.server.request_tasks import RequestTasks
from lambent.wire.call import Operation
from lambent.wire.routes import Router

ACCOUNT = "123456789012"
REGION = "eu-west-1"

Handlers = Mapping[tuple[str, str], Operation]


@dataclass(frozen=True, slots=True)
class OpenFrontDoor:
    """`issued` are the credentials that it knows; clients are of the account ACCOUNT unless they name another key."""

    url: str
    issued: IssuedCredentials

    def client(self, service: str, key: str = ACCOUNT, secret: str = "x", token: str | None = None) -> Any:  # noqa: S107
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )


@contextmanager
def front_door(handlers: Callable[[], AbstractAsyncContextManager[Handlers]]) -> Iterator[OpenFrontDoor]:
    """Serve the handlers, which are opened and closed on the loop that serves them, in a thread of their own."""
    ready: list[OpenFrontDoor] = []
    failed: list[BaseException] = []
    begun = threading.Event()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def main() -> None:
        async with handlers() as by_name, _serving(by_name) as door:
            ready.append(door)
            begun.set()
            await stopping.wait()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:  # noqa: BLE001 whatever it is, it is raised in the test's thread
            failed.append(error)
        finally:
            begun.set()
            loop.close()

    thread = threading.Thread(target=run, name="front-door")
    thread.start()
    try:
        begun.wait()
        if ready:
            yield ready[0]
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stopping.set)
        thread.join()
    if failed:
        raise failed[0]


@asynccontextmanager
async def _serving(handlers: Handlers) -> AsyncIterator[OpenFrontDoor]:
    issued = IssuedCredentials()
    services = {service for service, _ in handlers}
    tasks = RequestTasks()
    door = FrontDoor(
        router=Router(services),
        identity=Identity(issued, account="000000000000", region=REGION),
        handlers={name: tasks.handler(operation) for name, operation in handlers.items()},
        pages={},
        tasks=tasks,
        new_id=RandomIds().uuid,
    )
    allowance = Allowance(connections=100, held_bytes=2 * REQUEST_BODY_BYTES)
    connections = Connections(door.serve, allowance, door.too_large)
    with listen("127.0.0.1", 0, without_authentication_allowed=False) as listener:
        accepting = await asyncio.get_running_loop().create_server(connections, sock=listener)
        yield OpenFrontDoor(url_of(listener), issued)
        accepting.close()
        await connections.drain(5)
        connections.close()
        await tasks.close()

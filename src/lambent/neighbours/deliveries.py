"""Takes what is told of an asynchronous invocation to its destination or dead-letter queue: each call is one attempt.

Owns the threads in which other services are spoken to (`neighbours.sender`). Which attempts are made at a time, whether
a failed one is made again, and when, is its caller's: it has the record where it is not lost.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from lambent.clock import Clock
from lambent.core.delivery_queue import Place
from lambent.core.errors import ModelledError, TooManyRequestsException
from lambent.core.invocation_record import DeliveryFailed, Ended, destination_record
from lambent.endpoint import SERVICES, Endpoint
from lambent.neighbours.target import Target, read_target
from lambent.store.abandonable import AbandonableThreads

if TYPE_CHECKING:
    from lambent.neighbours.sender import Sender

_log = logging.getLogger(__name__)

REQUESTS_AT_A_TIME = 4
"""To one endpoint."""
EVENTS_AT_A_TIME = 16
"""To functions: each waits for a commit."""
DEADLINE_S = 30
"""Of an attempt, from its beginning in a thread. The silences that the client allows are shorter; a service that
answers byte by byte would not be given up for them."""
_TOLD_AGAIN_US = 60_000_000
_TARGETS_TOLD = 1_000


class InvokeAsynchronously(Protocol):
    async def __call__(self, account: str, function_arn: str, payload: bytes, trace_id: str) -> None:
        """Accept an event for the function as the account's own. Raises ModelledError where Invoke would answer it."""


class Deliveries:
    """`endpoint_of` tells where a service is for an account, None for nowhere. For one event loop."""

    def __init__(
        self,
        endpoint_of: Callable[[str, str], Endpoint | None],
        invoke: InvokeAsynchronously,
        clock: Clock,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._endpoint_of = endpoint_of
        self._invoke = invoke
        self._deadline_s = deadline_s
        self._unconfigured = _UnconfiguredTargets(clock)
        self._queues: dict[tuple[str, Endpoint], _RequestQueue] = {}
        self._sender: Sender | None = None
        self._making_sender = threading.Lock()

    def place(self, service: str, account: str) -> Place:
        """Where what goes to the service for the account waits for each other."""
        if service == "lambda":
            return Place(service, EVENTS_AT_A_TIME)
        where = self._endpoint_of(service, account) if service in SERVICES else None
        return Place((service, where), REQUESTS_AT_A_TIME)

    async def deliver(self, target_arn: str, ended: Ended) -> None:
        """Send the record of the invocation to its destination. Raises DeliveryFailed."""
        target = read_target(target_arn)
        if target.service == "lambda":
            await self._invoke_with_record(target_arn, ended)
        else:
            where = self._where(target, ended)
            await self._queue_of(target, where).run(lambda: self._made_sender().send_record(target, where, ended))

    async def dead_letter(self, target_arn: str, ended: Ended) -> None:
        """Send the event itself to the dead-letter queue or topic. Raises DeliveryFailed."""
        target = read_target(target_arn)
        where = self._where(target, ended)
        await self._queue_of(target, where).run(lambda: self._made_sender().send_dead_letter(target, where, ended))

    def close(self) -> None:
        """Return at once. What waits is cancelled; what is under way is abandoned, and may arrive all the same."""
        for queue in self._queues.values():
            queue.close()

    async def _invoke_with_record(self, function_arn: str, ended: Ended) -> None:
        record = destination_record(ended).encode()
        try:
            await self._invoke(ended.function.account, function_arn, record, ended.trace_id)
        except ModelledError as error:
            is_transient = error.fault != "User" or isinstance(error, TooManyRequestsException)
            raise DeliveryFailed(f"the function does not take it: {error.code}", is_transient=is_transient) from error

    def _where(self, target: Target, ended: Ended) -> Endpoint:
        if target.service not in SERVICES:
            raise DeliveryFailed(f"nothing is sent to {target.service}", is_transient=False)
        account = ended.function.account
        where = self._endpoint_of(target.service, account)
        if where is None:
            self._unconfigured.tell(target, ended)
            raise DeliveryFailed(
                f"the setting {target.service}_endpoint names none for account {account}", is_transient=False
            )
        return where

    def _queue_of(self, target: Target, where: Endpoint) -> "_RequestQueue":
        """One for each service at each endpoint: there are as many as the settings name."""
        queue = self._queues.get((target.service, where))
        if queue is None:
            queue = self._queues[target.service, where] = _RequestQueue(f"deliver-{target.service}", self._deadline_s)
        return queue

    def _made_sender(self) -> "Sender":
        # Late: see `service_clients`.
        from lambent.neighbours.sender import Sender

        with self._making_sender:
            if self._sender is None:
                self._sender = Sender()
            return self._sender


class _Request:
    """`call` raises DeliveryFailed. `begun` is set when a thread has taken it. Whoever waits for it sets `given_up`:
    then it is not begun any more."""

    __slots__ = ("_call", "_loop", "begun", "given_up")

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = self._loop.create_future()
        self.given_up = False

    def perform(self) -> DeliveryFailed | None:
        if self.given_up:
            return None
        self._loop.call_soon_threadsafe(self.begun.set_result, None)
        try:
            self._call()
        except DeliveryFailed as failure:
            return failure
        return None


class _RequestQueue:
    """The requests to one endpoint, in threads of their own: one that does not answer holds up no other's. A thread
    whose request was given up is not free before it has let go of it. Until then another waits, which is no attempt."""

    def __init__(self, name: str, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._threads = AbandonableThreads(REQUESTS_AT_A_TIME, name)

    async def run(self, call: Callable[[], None]) -> None:
        request = _Request(call)
        done = asyncio.wrap_future(self._threads.submit(request.perform))
        try:
            await asyncio.wait((request.begun, done), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((done,), timeout=self._deadline_s)
        finally:
            request.given_up = True
        if done.cancelled():
            raise DeliveryFailed("the server stops", is_transient=True)
        if not done.done():
            raise DeliveryFailed(f"it was not done within {self._deadline_s} seconds", is_transient=True)
        failure = done.result()
        if failure is not None:
            raise failure

    def close(self) -> None:
        self._threads.close()


class _UnconfiguredTargets:
    """Tells the operator of targets whose service is nowhere: of each once a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: set[str] = set()
        self._since_us = clock.monotonic_us()

    def tell(self, target: Target, ended: Ended) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._since_us >= _TOLD_AGAIN_US:
            self._told.clear()
            self._since_us = now_us
        if target.arn in self._told or len(self._told) >= _TARGETS_TOLD:
            return
        self._told.add(target.arn)
        _log.warning(
            "no endpoint to deliver to",
            extra={
                "target": target.arn,
                "account": ended.function.account,
                "setting": f"{target.service}_endpoint",
                "request_id": ended.request_id,
            },
        )

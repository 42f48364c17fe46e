"""The tasks in which requests are served that need one: started here, told here, and ended with the server."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from lambent.wire.call import Handler, Operation

Result = TypeVar("Result")


class RequestTasks:
    """The parent of the tasks. They never fail: what goes wrong in one is told to whoever asked."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, Result], tell: Callable[[Result | Exception], None]) -> None:
        """Run the work, and tell its result or the exception that it raised."""
        task = asyncio.get_running_loop().create_task(_told(work, tell))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def handler(self, operation: Operation) -> Handler:
        """A handler that runs the operation in a task."""
        return lambda call, tell: self.run(operation(call), tell)

    async def close(self) -> None:
        """End what still runs."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running))


async def _told(work: Awaitable[Result], tell: Callable[[Result | Exception], None]) -> None:
    try:
        result = await work
    except Exception as error:  # noqa: BLE001 it is told, and judged there
        tell(error)
    else:
        tell(result)

"""Which attempts are under way in which environment, and their beginning and end in the ledger.

Every attempt that begins here ends here, once. What an attempt came to is told by the worker, or by the dispatcher
where the environment was lost.
"""

from typing import Protocol

from lambent.clock import Clock, Timers
from lambent.core.function import FunctionVersion
from lambent.core.invocation import Report
from lambent.observe.ledger import Began, Ended, Entry


class EntrySink(Protocol):
    """The ledger."""

    def append(self, entry: Entry) -> bool: ...

    def flush(self) -> None: ...


class Attempts:
    def __init__(self, clock: Clock, timers: Timers, ledger: EntrySink) -> None:
        self._clock = clock
        self._timers = timers
        self._ledger = ledger
        self._running: dict[str, str] = {}
        """The request that an environment serves, by environment."""
        self._unwritten: dict[str, str] = {}
        """The one before it, whose end the worker has not told yet, by environment."""

    def of(self, environment_id: str) -> tuple[str | None, str | None]:
        """The requests whose attempts in the environment are not over: the one before the last, and the last."""
        return self._unwritten.get(environment_id), self._running.get(environment_id)

    def all(self) -> list[tuple[str, str]]:
        """The environments and requests of all attempts that are not over."""
        return [*self._unwritten.items(), *self._running.items()]

    def begin(self, environment_id: str, request_id: str, version: FunctionVersion) -> None:
        """The environment has the invocation. The one that it had before is answered, if not yet over."""
        before = self._running.get(environment_id)
        if before is not None:
            self._unwritten[environment_id] = before
        self._running[environment_id] = request_id
        self._note(
            Began(
                request_id=request_id,
                account=version.function.account,
                region=version.function.region,
                function=version.function.name,
                version=version.version,
                memory_mib=version.configuration.memory_mib,
                architecture=version.architectures[0],
                wall_ms=self._clock.wall_ms(),
            )
        )

    def end(self, environment_id: str, request_id: str, report: Report) -> None:
        if self._running.get(environment_id) == request_id:
            del self._running[environment_id]
        else:
            self._unwritten.pop(environment_id, None)
        self._note(
            Ended(
                request_id=request_id,
                init_us=report.init_us,
                duration_us=report.duration_us,
                outcome=report.outcome.value,
                max_memory_mib=report.max_memory_mib,
                restore_us=None if report.restoration is None else report.restoration.duration_us,
                wall_ms=self._clock.wall_ms(),
            )
        )

    def _note(self, entry: Entry) -> None:
        """The entry is in the ledger when this turn of the loop is over: no answer can be taken before."""
        if self._ledger.append(entry):
            self._timers.call_soon(self._ledger.flush)

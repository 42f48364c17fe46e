"""What lies between a dispatcher and its worker: nothing, or a socket that takes time and whose other end may die."""

from collections.abc import Callable

from lambent.testing.simulation.timeline import Timeline
from lambent.worker import messages

DOWN_US = 200_000
"""How long the dispatcher is without a worker that has died."""


class Link:
    """With a latency, messages arrive in order, and later; with none, while they are sent. A worker that dies has said
    what it has said; then each of its environments is told to be gone, as `invoke.worker_link` does."""

    def __init__(self, timeline: Timeline, latency_us: int) -> None:
        self._timeline = timeline
        self._latency_us = latency_us
        self._environments: set[str] = set()
        self._life = 0
        """Which worker this is: what was on its way to an earlier one does not arrive."""
        self._worker_lives = True
        self._is_connected = True
        self.to_worker: Callable[[messages.Command], None]
        self.to_dispatcher: Callable[[messages.Event], None]

    def send(self, command: messages.Command) -> None:
        if isinstance(command, messages.Start | messages.MakeTemplate):
            self._environments.add(command.environment_id)
        if not self._is_connected:
            if not isinstance(command, messages.Retire | messages.Hello):
                self._timeline.call_soon(self._tell_gone, command.environment_id)
        elif not self._worker_lives:
            pass  # nobody has heard of that yet
        elif self._latency_us:
            self._timeline.call_in(self._latency_us, self._arrive, self._life, command)
        else:
            self.to_worker(command)

    def _arrive(self, life: int, command: messages.Command) -> None:
        if life == self._life:
            self.to_worker(command)

    def emit(self, event: messages.Event) -> None:
        if not self._worker_lives:
            return
        if self._latency_us:
            self._timeline.call_in(self._latency_us, self._receive, event)
        else:
            self._receive(event)

    def _receive(self, event: messages.Event) -> None:
        if isinstance(event, messages.Gone | messages.TemplateRefused):
            self._environments.discard(event.environment_id)
        self.to_dispatcher(event)

    def lose(self) -> None:
        """The worker has died just now."""
        if self._worker_lives:
            self._life += 1
            self._worker_lives = False
            self._timeline.call_in(self._latency_us, self._lost)

    def _lost(self) -> None:
        self._is_connected = False
        for environment_id in sorted(self._environments):
            self._tell_gone(environment_id)
        self._timeline.call_in(DOWN_US, self._connect)

    def _connect(self) -> None:
        self._worker_lives = self._is_connected = True

    def _tell_gone(self, environment_id: str) -> None:
        if environment_id in self._environments:
            self._environments.discard(environment_id)
            self.to_dispatcher(messages.Gone(environment_id, "the worker was lost", took=messages.TOOK_UNKNOWN))

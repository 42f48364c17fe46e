"""What the connections of one peer may take together: how many there are, and what they make us hold.

An allowance may be part of a larger one, which all of its parts share: a function's connections are bounded for each
environment, and again for all environments together.
"""


class Allowance:
    """Counts; owns nothing. `held_bytes` is of requests that are not answered yet."""

    def __init__(self, *, connections: int, held_bytes: int, within: "Allowance | None" = None) -> None:
        self._connections = connections
        self._held_bytes = held_bytes
        self._within = within

    def enter(self) -> bool:
        """Take a connection. False, and nothing taken, where there are too many."""
        if self._connections <= 0 or (self._within is not None and not self._within.enter()):
            return False
        self._connections -= 1
        return True

    def leave(self) -> None:
        self._connections += 1
        if self._within is not None:
            self._within.leave()

    def hold(self, change_bytes: int) -> bool:
        """Hold so much more, or less. False, and nothing taken, where that is too much; less is never refused."""
        if change_bytes > self._held_bytes:
            return False
        if self._within is not None and not self._within.hold(change_bytes):
            return False
        self._held_bytes -= change_bytes
        return True

"""What the connections of one peer may take together: how many there are, and what they make us hold.

Answers that are not read yet may take more than requests, so that requests which wait do not cost others the answers to
theirs.

An allowance may be part of a larger one, which all of its parts share: a function's connections are bounded for each
environment, and again for all environments together.
"""


class Allowance:
    """Counts; owns nothing. `held_bytes` is of requests that are not answered, and answers that are not read, yet;
    `answer_bytes` more are for answers alone."""

    def __init__(
        self, *, connections: int, held_bytes: int, answer_bytes: int = 0, within: "Allowance | None" = None
    ) -> None:
        self._connections = connections
        self._held_bytes = held_bytes
        self._answer_bytes = answer_bytes
        self._within = within

    def shares_with(self, other: "Allowance") -> bool:
        """Whether what one gives back is there for the other."""
        return other is self or (other._within is not None and other._within is self._within)

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

    def hold(self, change_bytes: int, *, of_answer: bool = False) -> bool:
        """Hold so much more, or less. False, and nothing taken, where that is too much; less is never refused."""
        if change_bytes > 0 and change_bytes > self._held_bytes + (self._answer_bytes if of_answer else 0):
            return False
        if self._within is not None and not self._within.hold(change_bytes, of_answer=of_answer):
            return False
        self._held_bytes -= change_bytes
        return True

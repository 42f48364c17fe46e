"""What functions do, and what befalls them and their machine: drawn, so that a seed decides."""

from enum import Enum, auto
from random import Random

from lambent.core.record import Record


class Ending(Enum):
    """What a program does with an event, or with its initialisation."""

    ANSWERS = auto()
    FAILS = auto()
    """It reports an error, and lives on."""
    EXITS = auto()
    HANGS = auto()
    ANSWERS_TWICE = auto()
    ANSWERS_LATE = auto()
    """After its timeout, if nothing stops it."""
    ANSWERS_ANOTHER = auto()
    """Under an id that it was never given, and then hangs."""
    ANSWERS_AND_EXITS = auto()
    ANSWERS_AND_WORKS_ON = auto()
    """Beyond its timeout: the caller has the answer, and the program does not ask for the next event."""
    IS_DEAD = auto()
    """It was dying when the event came, and never had it."""


class Fate(Record, frozen=True):
    """`duration_us` is until the ending, `drain_us` from the answer to the next request for an event."""

    ending: Ending
    duration_us: int
    drain_us: int = 0


class Faults(Record, frozen=True):
    """How likely each is: of a start, of an initialisation, of an event."""

    no_sandbox: float = 0.0
    init_fails: float = 0.0
    init_exits: float = 0.0
    init_hangs: float = 0.0
    misfortune: float = 0.0
    """That an event ends in another way than by its answer."""
    idle_exit: float = 0.0
    """That a program ends while it waits for an event."""
    template_refused: float = 0.0
    disk_full: float = 0.0
    """That something which is asked of the event queue's disk fails."""
    disk_stalls: float = 0.0
    """That it takes its time for what it is asked."""
    undeliverable: float = 0.0
    """That a record or a dead letter is not taken for now."""


FAULTLESS = Faults()

_MISFORTUNES = tuple(ending for ending in Ending if ending is not Ending.ANSWERS)


class Nature:
    """Draws what happens. Durations are exponential about their means: `means` has those of an event and of an
    initialisation, in microseconds, by the function's name."""

    def __init__(self, random: Random, faults: Faults = FAULTLESS) -> None:
        self._random = random
        self.faults = faults
        self.means: dict[str, tuple[int, int]] = {}

    def happens(self, likelihood: float) -> bool:
        return likelihood > 0 and self._random.random() < likelihood

    def about(self, mean_us: int) -> int:
        return 1 + int(self._random.expovariate(1 / mean_us)) if mean_us > 0 else 1

    def initialisation(self, function: str) -> Fate:
        duration_us = self.about(self.means[function][1])
        drawn = self._random.random()
        for ending, likelihood in (
            (Ending.FAILS, self.faults.init_fails),
            (Ending.EXITS, self.faults.init_exits),
            (Ending.HANGS, self.faults.init_hangs),
        ):
            drawn -= likelihood
            if drawn < 0:
                return Fate(ending, duration_us)
        return Fate(Ending.ANSWERS, duration_us)

    def event(self, function: str) -> Fate:
        duration_us = self.about(self.means[function][0])
        if not self.happens(self.faults.misfortune):
            return Fate(Ending.ANSWERS, duration_us, self.about(200))
        return Fate(self._random.choice(_MISFORTUNES), duration_us, self.about(50_000))

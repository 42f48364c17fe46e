"""Leads environments through their lives, several at one time and a round of them after another, and takes a reading
when all of a round are gone.

The first round has every fault of the table once, and ends with the reading that all others are held against: what is
made once has been made. In the third of the rounds that follows, each has an upheaval.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

from lambent.testing.soak import gauges
from lambent.testing.soak.faults import (
    ANSWERED,
    BOOTSTRAP_EXITING,
    FAULTS,
    MADE,
    NOT_MADE,
    NOT_RESTORED,
    REFUSED,
    RETIRED,
    WELL,
    Act,
    Fault,
    Life,
    Moment,
    Upheaval,
    draw,
    restored_of,
    template_of,
)
from lambent.testing.soak.judge import Rest, differences
from lambent.testing.soak.strikes import act, befall
from lambent.testing.soak.worker import Known, Stuck, Worker, open_worker

AT_ONCE = 8
USER_IDS = 48
LOST, STUCK, NOT_AGAIN, CROWD = "lost", "stuck", "not served again", "in a crowd"
NO_TEMPLATES = "no templates"
"""The end of a template on a driver that restores nothing."""
RESTORED_AT_ONCE, RESTORED_TIMES = 2, 2


@dataclass(frozen=True, slots=True)
class Plan:
    """`lives` is the number of environments, `rounds` that of the rounds after the first, which has `first`."""

    driver: str
    seed: int
    lives: int
    rounds: int
    first: Sequence[Fault] = FAULTS
    drawn: Fault | None = None
    """The fault of all others, where chance is not to choose it."""
    shaken: bool = True
    at_rest_within_s: float = 10.0
    """A sandbox that could not be booted ahead is tried again some seconds later. So for so long the first reading is
    to stay as it is, and a later one may be another than that."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a soak. `ends` counts for each fault how lives ended, `upheavals` how many there were of each;
    `unexpected` tells of lives that no upheaval befell, and that did not end as their fault lets them. `ahead` is the
    number of templates that were retired when others had been restored from them ahead of need."""

    seconds: float
    ends: dict[str, dict[str, int]]
    upheavals: dict[str, int]
    unexpected: list[str]
    ahead: int
    rests: list[Rest]


async def soak(plan: Plan, before_rest: Callable[[Worker], object] = lambda _: None) -> Told:
    """Carry out the plan. `before_rest` is called before each reading: it may plant a leak."""
    place = Path(tempfile.mkdtemp(prefix="lambent-soak-", dir="/var/tmp"))
    try:
        async with open_worker(plan.driver, place, USER_IDS) as worker:
            return await _Soak(plan, worker, before_rest).run()
    finally:
        shutil.rmtree(place)


class _Soak:
    def __init__(self, plan: Plan, worker: Worker, before_rest: Callable[[Worker], object]) -> None:
        self._plan = plan
        self._worker = worker
        self._before_rest = before_rest
        self._chance = random.Random(plan.seed)  # noqa: S311 no secret is made of it
        self._numbers = count()
        self._ends: dict[str, Counter[str]] = {}
        self._upheavals: Counter[str] = Counter()
        self._unexpected: list[str] = []
        self._ahead = 0
        self._rests: list[Rest] = []
        self._shaken_rounds = plan.rounds // 3 if plan.shaken else 0

    async def run(self) -> Told:
        plan = self._plan
        began = time.monotonic()
        await self._round([self._draw(fault) for fault in plan.first], None)
        kinds = list(Upheaval)
        left = plan.lives - len(plan.first)
        for number in range(plan.rounds):
            size = left * (number + 1) // plan.rounds - left * number // plan.rounds
            upheaval = kinds[number % len(kinds)] if number < self._shaken_rounds else None
            await self._round([self._draw(plan.drawn) for _ in range(size)], upheaval)
        return Told(
            seconds=time.monotonic() - began,
            ends={name: dict(ends) for name, ends in sorted(self._ends.items())},
            upheavals=dict(self._upheavals),
            unexpected=self._unexpected,
            ahead=self._ahead,
            rests=self._rests,
        )

    def _draw(self, fault: Fault | None = None) -> Life:
        return draw(self._worker.place.name, self._plan.seed, next(self._numbers), fault)

    async def _round(self, lives: Sequence[Life], upheaval: Upheaval | None) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def in_turn(life: Life) -> None:
            async with places:
                await self._live(life, shaken=upheaval is not None)

        async with asyncio.TaskGroup() as tasks:
            for life in lives:
                tasks.create_task(in_turn(life))
            if upheaval is not None:
                tasks.create_task(self._shake(upheaval))
        if upheaval is not None:
            await self._live(self._draw(WELL), shaken=True)  # by which it may be noticed
        # An hour later nothing is kept ready for the cold starts of the round. A life of each kind has its minimum be
        # there, and shows that the worker serves again.
        self._worker.clock.leap_h(1)
        for fault in (WELL, BOOTSTRAP_EXITING):
            await self._live(self._draw(fault), shaken=False)
        self._before_rest(self._worker)
        reading = await self._at_rest()
        self._rests.append(Rest(sum(map(Counter.total, self._ends.values())), self._is_settled(), reading))

    def _is_settled(self) -> bool:
        return len(self._rests) >= self._shaken_rounds

    async def _at_rest(self) -> gauges.Reading:
        """The reading once it is as the first one, or as it stays. The first is taken when it has stayed for a while:
        what is booted ahead may come late."""
        worker = self._worker
        deadline = time.monotonic() + self._plan.at_rest_within_s
        first = self._rests[0].reading if self._rests else await self._first_at_rest()
        while True:
            reading = gauges.read(worker.place, worker.data_dir)
            if not differences(first, reading) or time.monotonic() > deadline:
                return reading
            await asyncio.sleep(0.05)

    async def _first_at_rest(self) -> gauges.Reading:
        worker = self._worker
        reading, since = gauges.read(worker.place, worker.data_dir), time.monotonic()
        while time.monotonic() < since + self._plan.at_rest_within_s:
            await asyncio.sleep(0.05)
            now = gauges.read(worker.place, worker.data_dir)
            if differences(reading, now):
                reading, since = now, time.monotonic()
        return reading

    async def _shake(self, upheaval: Upheaval) -> None:
        await asyncio.sleep(self._chance.uniform(0.1, 0.6))
        if upheaval is Upheaval.USER_IDS_EXHAUSTED:
            happened = await self._crowd()
        else:
            happened = await befall(upheaval, self._worker, self._chance)
        self._upheavals[upheaval.name] += happened

    async def _crowd(self) -> bool:
        """More environments than there are user ids, all of them at one time. Returns whether one was refused."""
        dispatcher = self._worker.dispatcher
        lives = [self._draw(WELL) for _ in range(USER_IDS + 2)]
        for life in lives:
            self._worker.packages.put(life)
        crowd = [await dispatcher.start(life) for life in lives]
        refused = False
        for known in crowd:
            await known.until(partial(getattr, known, "available"), "available")
            refused |= known.gone is not None
        for life, known in zip(lives, crowd, strict=True):
            dispatcher.retire(life)
            await known.until(lambda: False, "gone")
            dispatcher.forget(life)
            self._worker.packages.remove(life)
        self._ends.setdefault(CROWD, Counter())[RETIRED] += len(lives)
        return refused

    # One life -----------------------------------------------------------------------------------------------------

    async def _live(self, life: Life, *, shaken: bool) -> None:
        self._worker.packages.put(life)
        try:
            if life.fault.snap_start:
                await self._count(template_of(life), self._end_of_template(life, shaken=shaken), shaken=shaken)
            else:
                await self._count(life, self._end_of(life), shaken=shaken)
        finally:
            self._worker.packages.remove(life)

    async def _count(self, life: Life, end_of_life: Awaitable[str], *, shaken: bool) -> None:
        try:
            end = await end_of_life
        except* Stuck as stuck:
            end = f"{STUCK}: {stuck.exceptions[0]}"
            self._worker.dispatcher.retire(life)
        finally:
            self._worker.dispatcher.forget(life)
        kind = end.partition(":")[0]
        self._ends.setdefault(life.fault.name, Counter())[kind] += 1
        may_be = kind in life.fault.ends or (kind == NO_TEMPLATES and not self._worker.restores)
        if kind == STUCK or not (shaken or may_be):
            self._unexpected.append(f"{life.name}: {life.fault.name}: {end}")

    async def _end_of_template(self, life: Life, *, shaken: bool) -> str:
        """It lives while others are restored from it; those of the second time may have been restored ahead of need."""
        template, dispatcher = template_of(life), self._worker.dispatcher
        known = await dispatcher.make_template(template)
        numbers = count(1)
        async with asyncio.TaskGroup() as tasks:
            if life.fault.on_template:
                tasks.create_task(act(template, known, self._worker))
            await known.until(lambda: known.made or known.failed, "made")
            for _ in range(RESTORED_TIMES if known.made else 0):
                async with asyncio.TaskGroup() as restored:
                    for number in islice(numbers, RESTORED_AT_ONCE):
                        one = restored_of(life, number)
                        restored.create_task(self._count(one, self._end_of(one), shaken=shaken))
                await asyncio.sleep(life.pause_s)
            if known.made:
                self._ahead += any(map(gauges.is_restored, gauges.processes_of(life.package)))
            dispatcher.retire(template)
            await known.until(lambda: False, "gone")
        if known.made or known.failed:
            return MADE if known.made else NOT_MADE
        return NO_TEMPLATES if known.refused else _without_answer(known)

    async def _end_of(self, life: Life) -> str:
        fault, dispatcher = life.fault, self._worker.dispatcher
        known = await dispatcher.start(life)
        async with asyncio.TaskGroup() as tasks:
            is_acted = fault.act is not None and not fault.on_template
            acting = tasks.create_task(act(life, known, self._worker)) if is_acted else None
            struck = acting if fault.act is not Act.MAKE_GROUPS_BUSY else None
            await known.until(lambda: known.available, "available")
            if struck is not None and fault.moment is Moment.READY:
                await struck
            answer = await dispatcher.invoke(life, fault.event)
            if struck is not None:
                await struck
            if answer is None:
                end = _without_answer(known)
            else:
                end = answer.error_type or ANSWERED
                if fault.serves_again and life.twice:
                    end = await self._end_served_again(life, known, 2 if struck else 1) or end
            dispatcher.retire(life)
            await known.until(lambda: False, "gone")
        return end

    async def _end_served_again(self, life: Life, known: Known, attempts: int) -> str:
        """What came instead of an answer; nothing is wrong where it is empty. A process that was just killed may still
        be given an event, and fail that one."""
        came = []
        for _ in range(attempts):
            answer = await self._worker.dispatcher.invoke(life, "goes_well")
            if answer is not None and answer.error_type is None:
                return ""
            came.append(_without_answer(known) if answer is None else answer.error_type)
        return f"{NOT_AGAIN}: {', '.join(map(str, came))}"


def _without_answer(known: Known) -> str:
    """How an environment has ended that has not served."""
    if known.lost:
        return LOST
    if known.gone is not None and known.gone.restoration is not None:
        return NOT_RESTORED
    reason = known.gone.reason if known.gone is not None else ""
    return f"{REFUSED}: {reason}" if reason else RETIRED

"""Warm invocations beside the bare reference, in alternating rounds.

An environment is frozen when its runtime has waited a millisecond for its next event. A caller who does not pause
calls again before that; the caller who pauses finds it frozen each time, and machine and caches cold, on both sides.
The same ratio is promised to both.

What disturbs the machine for a while disturbs both sides of a round alike; the ratio that is judged is the median of
the rounds' ratios, so it is steadier than either figure.
"""

import statistics
from collections.abc import Callable

from benchmarks import load, subjects
from benchmarks.table import Row

ROUNDS = 7
PAUSE_S = 0.005
PAUSING_CALLS = 200
CALLS = {1: 2000, 8: 6000}
WARM_UP = {1: 200, 8: 800}
P50_RATIO_AT_MOST = 3.5
THROUGHPUT_RATIO_AT_LEAST = 0.2

REFERENCE = "the same handler behind uvicorn (uvloop, httptools, one worker, no access log), same load generator"

Round = tuple[load.Load, load.Load]
"""Lambent's, and the reference's."""


def run() -> list[Row]:
    with subjects.data_directory() as data, subjects.lambent(data) as server, subjects.uvicorn() as bare:
        subjects.create(server.client(), "echo", subjects.package())
        sides = ((server.address, subjects.invoke_request("echo")), (bare, subjects.plain_request()))
        rounds: dict[int, list[Round]] = {callers: [] for callers in CALLS}
        pausing: list[Round] = []
        for _ in range(ROUNDS):
            for callers, taken in rounds.items():
                taken.append(_round(sides, callers, CALLS[callers], WARM_UP[callers]))
            pausing.append(_round(sides, 1, PAUSING_CALLS, 0, PAUSE_S))
    rows = [row for callers, taken in rounds.items() for row in _rows(callers, taken)]
    row = _row(
        "warm: p50, 1 caller, who pauses 5 ms", "µs", pausing, lambda one: one.p50_us, ratio_at_most=P50_RATIO_AT_MOST
    )
    return [*rows, row]


Side = tuple[tuple[str, int], bytes]


def _round(sides: tuple[Side, Side], callers: int, calls: int, warm_up: int, pause_s: float = 0) -> Round:
    ours, bare = (
        load.run(address, request, callers=callers, calls=calls, warm_up=warm_up, pause_s=pause_s)
        for address, request in sides
    )
    return ours, bare


def _rows(callers: int, rounds: list[Round]) -> list[Row]:
    with_callers = "1 caller" if callers == 1 else f"{callers} callers"
    return [
        _row(
            f"warm: p50, {with_callers}", "µs", rounds, lambda one: one.p50_us,
            ratio_at_most=P50_RATIO_AT_MOST if callers == 1 else None,
        ),
        _row(f"warm: p99, {with_callers}", "µs", rounds, lambda one: one.p99_us),
        _row(
            f"warm: invocations, {with_callers}", "/s", rounds, lambda one: one.per_second,
            ratio_at_least=THROUGHPUT_RATIO_AT_LEAST if callers == 8 else None,
        ),
    ]  # fmt: skip


def _row(
    name: str,
    unit: str,
    rounds: list[Round],
    figure: Callable[[load.Load], float],
    *,
    ratio_at_most: float | None = None,
    ratio_at_least: float | None = None,
) -> Row:
    ours = [figure(one) for one, _ in rounds]
    bare = [figure(other) for _, other in rounds]
    return Row(
        name,
        unit,
        measured=statistics.median(ours),
        reference=statistics.median(bare),
        reference_name=REFERENCE,
        ratio=statistics.median(one / other for one, other in zip(ours, bare, strict=True)),
        ratio_at_most=ratio_at_most,
        ratio_at_least=ratio_at_least,
    )

"""Warm invocations beside the bare reference, in alternating rounds.

What disturbs the machine for a while disturbs both sides of a round alike; the ratio that is judged is the median of
the rounds' ratios, so it is steadier than either figure.
"""

import statistics
from collections.abc import Callable

from benchmarks import load, subjects
from benchmarks.table import Row

ROUNDS = 7
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
        for _ in range(ROUNDS):
            for callers, taken in rounds.items():
                taken.append(_round(sides, callers))
    return [row for callers, taken in rounds.items() for row in _rows(callers, taken)]


def _round(sides: tuple[tuple[tuple[str, int], bytes], tuple[tuple[str, int], bytes]], callers: int) -> Round:
    ours, bare = (
        load.run(address, request, callers=callers, calls=CALLS[callers], warm_up=WARM_UP[callers])
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

"""What the machine itself costs at the time, by which the other figures are to be read: no Lambent in it.

A virtual machine's host may take memory back that is not used for a while, and give it again at the next touch: then
whatever has rested is slow, and a cold start touches the memory of several processes that have. And a word to a
process on another processor, which sleeps, is an interrupt that the host delivers.
"""

import mmap
import os
import statistics
import time

from benchmarks.table import Row

PAGES = 2000
RESTED_S = 0.5
RESTS = 10
WORDS = 2000


def run(share: float) -> list[Row]:
    rested_ms, again_ms = _touches(max(2, round(RESTS * share)))
    rows = [
        Row(
            f"machine: {PAGES} pages of memory that rested for {RESTED_S:g} s, p50", "ms", rested_ms, again_ms,
            "the same pages, touched again at once", rested_ms / again_ms,
        ),
    ]  # fmt: skip
    if len(os.sched_getaffinity(0)) > 1:
        other_us, same_us = (_word_us(apart, max(100, round(WORDS * share))) for apart in (True, False))
        rows.append(
            Row(
                "machine: a word to a process on another processor and back, p50", "µs", other_us, same_us,
                "the same, on one processor", other_us / same_us,
            )
        )  # fmt: skip
    return rows


def _touches(rests: int) -> tuple[float, float]:
    """Milliseconds, at the median: after a rest, and at once after that."""
    rested: list[float] = []
    again: list[float] = []
    with mmap.mmap(-1, PAGES * mmap.PAGESIZE) as memory:
        for page in range(PAGES):
            memory[page * mmap.PAGESIZE] = 1
        for _ in range(rests):
            time.sleep(RESTED_S)
            rested.append(_touch_ms(memory))
            again.append(_touch_ms(memory))
    return statistics.median(rested), statistics.median(again)


def _touch_ms(memory: mmap.mmap) -> float:
    began = time.perf_counter()
    for place in range(0, len(memory), mmap.PAGESIZE):
        memory[place]
    return (time.perf_counter() - began) * 1000


def _word_us(apart: bool, words: int) -> float:
    """Microseconds, at the median."""
    ours, *others = sorted(os.sched_getaffinity(0))
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(to_write)
        os.sched_setaffinity(0, {others[0] if apart else ours})
        while os.read(to_read, 1):
            os.write(back_write, b"b")
        os._exit(0)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {ours})
    try:
        took: list[float] = []
        for _ in range(words):
            began = time.perf_counter()
            os.write(to_write, b"a")
            os.read(back_read, 1)
            took.append((time.perf_counter() - began) * 1e6)
        return statistics.median(took)
    finally:
        os.sched_setaffinity(0, before)
        for descriptor in (to_read, to_write, back_read, back_write):
            os.close(descriptor)
        os.waitpid(child, 0)

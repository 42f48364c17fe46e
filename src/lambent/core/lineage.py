"""Recursive loops: how often a chain of invocations has come by each function, as the trace header tells.

`X-Amzn-Trace-Id: Root=...;Parent=...;Sampled=0;Lineage=a87bd80c:1|68fd508a:5`: a mark for each function, and how often
the chain has come by it, this time counted. A function hands the header on by its AWS SDK, which finds it in
`_X_AMZN_TRACE_ID`.

Source: X-Ray developer guide, "Tracing header"; developer guide, "Use Lambda recursive loop detection to prevent
infinite loops".
"""

import hashlib
from functools import lru_cache

from lambent.core.function import FunctionName
from lambent.core.limits import RECURSION_MAX

_KEY = "Lineage="
_MARKS_MAX = 32
"""Those that were come by last: the header is bounded."""


@lru_cache(maxsize=4096)
def mark_of(function: FunctionName) -> str:
    """By which a function is known in a lineage: the same in every partition and after every start."""
    named = "/".join((function.account, function.region, function.name))
    return hashlib.sha256(named.encode()).hexdigest()[:8]


def passes(header: str, mark: str) -> int:
    """How often the chain has come by the function before."""
    return _read(header).get(mark, 0) if _KEY in header else 0


def is_loop(count: int) -> bool:
    """Whether a chain that has come by so often is to be stopped."""
    return count >= RECURSION_MAX


def was_stopped(count: int) -> bool:
    """Whether a chain that has come by so often has done so after it was stopped there: what was told of its end has
    gone round, too."""
    return count > RECURSION_MAX


def extended(header: str, mark: str, count: int) -> str:
    """The header that the function is to hand on, when the chain came by `count` times before this one."""
    if _KEY not in header:
        return f"{header};{_KEY}{mark}:{count + 1}"
    marks = _read(header)
    marks.pop(mark, None)
    marks[mark] = count + 1
    told = "|".join(f"{one}:{times}" for one, times in list(marks.items())[-_MARKS_MAX:])
    others = [part for part in header.split(";") if not part.strip().startswith(_KEY)]
    return ";".join([*others, _KEY + told])


def handed_on(header: str, function: FunctionName) -> str:
    """The header that what follows from an invocation of the function has, whatever became of it."""
    mark = mark_of(function)
    return extended(header, mark, passes(header, mark))


def _read(header: str) -> dict[str, int]:
    """The marks in their order. What is not of the form is nobody's and is left out."""
    marks: dict[str, int] = {}
    for part in header.split(";"):
        if part.strip().startswith(_KEY):
            for pair in part.strip()[len(_KEY) :].split("|"):
                mark, _, times = pair.rpartition(":")
                if mark and times.isascii() and times.isdigit() and len(times) <= 4:
                    marks[mark] = int(times)
    return marks

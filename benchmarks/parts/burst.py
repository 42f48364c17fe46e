"""A burst: so many calls of one function at one time when it has no environment, and again when it has one for each.

Every call holds its environment for longer than it takes to start them all, so that none serves two and each of the
first burst's has to be started; what is told is the time beyond that, to the last of the answers.
"""

from benchmarks import subjects
from benchmarks.table import Row

CALLS = 200
HOLD_S = 20.0

REFERENCE = "the same burst again, with an environment idle for each call"


def run(share: float) -> list[Row]:
    calls = max(8, round(CALLS * share))
    hold_s = max(3.0, HOLD_S * share)
    with subjects.data_directory() as data, subjects.lambent(data) as server:
        subjects.create(server.client(), "waiting", subjects.package(), "waiting", memory_mib=128)
        cold, lost_cold, cold_s = subjects.invoke_at_once(server, "waiting", calls, hold_s)
        warm, lost_warm, warm_s = subjects.invoke_at_once(server, "waiting", calls, hold_s)
    late_ms, warm_ms = (cold_s - hold_s) * 1000, (warm_s - hold_s) * 1000
    return [
        Row(f"burst: lost of {calls} at once, from zero", "", lost_cold, promised_at_most=0, anywhere=True),
        Row(f"burst: lost of {calls} at once, warm", "", lost_warm, promised_at_most=0, anywhere=True),
        Row("burst: environments, from zero", "", len(cold)),
        Row("burst: environments that were new to it, warm", "", len(warm - cold)),
        Row("burst: last answer", "ms", late_ms, warm_ms, REFERENCE, late_ms / warm_ms),
    ]

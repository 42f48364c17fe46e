"""SnapStart: the first answer of an environment that is restored, beside the initialisation that it is spared."""

import base64
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import subjects
from benchmarks.table import Row

TIMES = 20
KEPT_S, NOTICED_S = 20.0, 0.3
"""How long an environment that has answered is kept busy, so that the next call has to have another restored; and how
long that takes to be so, and the machine to be at rest."""
FASTER_AT_LEAST = 130

REFERENCE = "the initialisation, as the function's log tells it"


def run(share: float) -> list[Row]:
    times = max(3, round(TIMES * share))
    init_ms, ahead_ms = _measure(times)
    _, on_demand_ms = _measure(times, "--preboot-minimum", "0", "--preboot-memory-mib", "0")
    what = "restored: first answer, 2 s of initialisation and 100 MB"
    return [
        Row(
            f"{what}, p50", "ms", ahead_ms, init_ms, REFERENCE, init_ms / ahead_ms, ratio_at_least=FASTER_AT_LEAST
        ),
        Row(f"{what}, none ahead, p50", "ms", on_demand_ms, init_ms, REFERENCE, init_ms / on_demand_ms),
    ]  # fmt: skip


def _measure(times: int, *arguments: str) -> tuple[float, float]:
    """Milliseconds of the initialisation, and the median of those to a restored environment's first answer."""
    with (
        subjects.data_directory() as data,
        subjects.lambent(data, "--snap-start-on-older-runtimes", *arguments) as server,
        ThreadPoolExecutor(times) as callers,
    ):
        client = server.client()
        subjects.create(client, "remembering", subjects.package(), "remembering")
        init_ms = _init_ms(client)
        version = _publish(client)
        restored_ms: list[float] = []
        seen: set[bytes] = set()
        for _ in range(times):
            began = time.perf_counter()
            seen.add(subjects.invoke(server, version, b"0"))
            restored_ms.append((time.perf_counter() - began) * 1000)
            callers.submit(subjects.invoke, server, version, f"{KEPT_S}".encode())
            time.sleep(NOTICED_S)
        if len(seen) != times:
            raise subjects.NotReady(f"{times} calls ran in {len(seen)} environments")
    return init_ms, statistics.median(restored_ms)


def _init_ms(client: Any) -> float:
    answer = client.invoke(FunctionName="remembering", Payload=b"0", LogType="Tail")
    report = base64.b64decode(answer["LogResult"]).decode()
    told = re.search(r"Init Duration: ([0-9.]+) ms", report)
    if told is None:
        raise subjects.NotReady(f"the log does not tell how long the initialisation took: {report!r}")
    return float(told[1])


def _publish(client: Any) -> str:
    """A version with SnapStart, once it can be restored. Returns the name to invoke it by."""
    client.update_function_configuration(FunctionName="remembering", SnapStart={"ApplyOn": "PublishedVersions"})
    subjects.await_settled(client, "remembering")
    version = client.publish_version(FunctionName="remembering")["Version"]
    name = f"remembering:{version}"
    subjects.await_settled(client, name)
    return name

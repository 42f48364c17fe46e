"""What reading functions costs in an account that has ten thousand of them, beside one that has a hundred.

Two servers, one for each account, are asked in alternating rounds: what disturbs the machine disturbs both. The
functions are put into the data directory by the store's own code, as copies of one that was created over the API.
"""

import asyncio
import statistics
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from benchmarks import load, processes, subjects
from benchmarks.table import Row
from lambent.core.function import FunctionVersion
from lambent.store import functions
from lambent.store.metadata import MetadataStore, WritingConnection

FEW, MANY = 100, 10_000
VERSIONS = 3
"""Published ones of each function, beside its `$LATEST`."""
PAGE = 50
ROUNDS = 5
CALLS = 200
WARM_UP = 40
RATIO_AT_MOST = 2.0
TOGETHER = 500
"""Functions that share a transaction when the store is filled."""

REFERENCE = f"the same in an account of {FEW} functions"
_FUNCTIONS = "/2015-03-31/functions/"


@dataclass(frozen=True, slots=True)
class Account:
    """A server whose account has functions, and what of them is asked for: requests by name."""

    server: subjects.Server
    requests: dict[str, bytes]


def run() -> list[Row]:
    with _account(FEW) as few, _account(MANY) as many:
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in many.requests}
        for _ in range(ROUNDS):
            for name, taken in rounds.items():
                taken.append((_p50_us(many, name), _p50_us(few, name)))
        resident = [processes.resident_mb(account.server.process) for account in (many, few)]
    return [
        *(_row(f"many functions: {name}, p50", taken) for name, taken in rounds.items()),
        Row("many functions: server process (RSS)", "MB", *resident, REFERENCE),
        Row("many functions: start to ready", "s", many.server.started_in_s, few.server.started_in_s, REFERENCE),
    ]


def _row(name: str, rounds: list[tuple[float, float]]) -> Row:
    many, few = zip(*rounds, strict=True)
    ratio = statistics.median(one / other for one, other in rounds)
    return Row(
        name, "µs", statistics.median(many), statistics.median(few), REFERENCE, ratio, ratio_at_most=RATIO_AT_MOST
    )


def _p50_us(account: Account, name: str) -> float:
    request = account.requests[name]
    return load.run(account.server.address, request, callers=1, calls=CALLS, warm_up=WARM_UP).p50_us


@contextmanager
def _account(count: int) -> Iterator[Account]:
    with subjects.data_directory() as data:
        with subjects.lambent(data) as server:
            subjects.create(server.client(), "echo", subjects.package())
        names = [f"function-{number:06}" for number in range(count)]
        asyncio.run(fill(data, names))
        with subjects.lambent(data) as server:
            yield Account(server, _requests(server, names))


def _requests(server: subjects.Server, names: Sequence[str]) -> dict[str, bytes]:
    """What is in the middle is asked for as well as what comes first: where a page begins must not matter."""
    listing = f"{_FUNCTIONS}?MaxItems={PAGE}"
    marker = ""
    for _ in range(len(names) // PAGE // 2):
        marker = server.client().list_functions(MaxItems=PAGE, Marker=marker)["NextMarker"]
    return {
        "GetFunction": subjects.get_request(_FUNCTIONS + names[len(names) // 2]),
        "GetFunction of a version": subjects.get_request(f"{_FUNCTIONS}{names[len(names) // 2]}?Qualifier={VERSIONS}"),
        "ListFunctions, the first page": subjects.get_request(listing),
        "ListFunctions, the page in the middle": subjects.get_request(f"{listing}&Marker={quote(marker)}"),
        "ListFunctions, every version": subjects.get_request(f"{listing}&FunctionVersion=ALL"),
    }


async def fill(data: Path, names: Sequence[str]) -> None:
    """Give the account of a server that is not running functions of these names, with published versions: copies of
    the one function that it has."""
    store = MetadataStore(data / "metadata.sqlite")
    await store.open()
    try:
        (template,) = await store.read(lambda connection: list(functions.load_all(connection)))
        for begin in range(0, len(names), TOGETHER):
            await store.run(_copies(template.current, names[begin : begin + TOGETHER]))
    finally:
        await store.close()


def _copies(template: FunctionVersion, names: Sequence[str]) -> Callable[[WritingConnection], None]:
    def transaction(connection: WritingConnection) -> None:
        for name in names:
            latest = _anew(template, function=msgspec.structs.replace(template.function, name=name))
            functions.insert(connection, latest)
            for _ in range(VERSIONS):
                number = functions.allocate_version(connection, latest.function)
                functions.publish(connection, _anew(latest, version=number, published_from=latest.config_revision))

    return transaction


def _anew(record: FunctionVersion, **members: Any) -> FunctionVersion:
    return msgspec.structs.replace(record, revision_id=str(uuid.uuid4()), config_revision=str(uuid.uuid4()), **members)

"""A log store and its API under test: calls without the server, and time as the test sets it."""

from collections.abc import Mapping
from typing import Any

from lambent.core.caller import Caller
from lambent.observe.log_store import LogStore
from lambent.observe.operations import operations
from lambent.wire.call import Call

ACCOUNT = "123456789012"
REGION = "eu-west-1"


class FixedClock:
    """Wall time as the test sets it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_us(self) -> int:
        return self.now_ms * 1000


class Logs:
    """An open store; `ask` calls an operation of its API as a client would."""

    def __init__(self, store: LogStore) -> None:
        self.store = store
        self._operations = operations(store)

    def put(self, group: str, stream: str, *lines: tuple[int, str], account: str = ACCOUNT) -> None:
        self.store.append(account, REGION, group, stream, lines)

    async def ask(self, operation: str, **params: Any) -> Mapping[str, Any]:
        call = Call(
            service="logs",
            operation=operation,
            params=params,
            caller=Caller(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT),
            region=REGION,
            partition="aws",
            request_id="r",
            endpoint="http://127.0.0.1:4566",
            headers={},
        )
        answer = await self._operations[operation](call)
        assert isinstance(answer, Mapping)
        return answer

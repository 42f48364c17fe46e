"""An invocation that has ended, for tests of what is told of it, and how a delivery went."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from lambent.core.function import FunctionName
from lambent.core.invocation_record import Condition, DeliveryFailed, Ended
from lambent.endpoint import SERVICES
from lambent.neighbours.deliveries import DEADLINE_S, Deliveries
from lambent.settings import Settings
from lambent.testing.clock import ManualClock

ACCOUNT = "111122223333"
ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:orders:$LATEST"
TRACE = "Root=1-5dcd9aa5-0123456789abcdef01234567;Sampled=0"
PAYLOAD = '{"order": "żółw",  "amount": 1.50}'
RECORD = {
    "version": "1.0",
    "timestamp": "2019-11-14T18:16:05.568Z",
    "requestContext": {
        "requestId": "e4b46cbf-b738-4c62-8880-a18cdf61200e",
        "functionArn": ARN,
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    },
    "requestPayload": {"order": "żółw", "amount": 1.5},
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "responsePayload": {"errorMessage": "no stock"},
}
FAILED = Ended(
    request_id="e4b46cbf-b738-4c62-8880-a18cdf61200e",
    function=FunctionName(ACCOUNT, "us-east-1", "orders"),
    function_arn=ARN,
    condition=Condition.RETRIES_EXHAUSTED,
    invoke_count=3,
    payload=PAYLOAD.encode(),
    at_ms=1_573_755_365_568,
    trace_id=TRACE,
    role=f"arn:aws:iam::{ACCOUNT}:role/function",
    executed_version="$LATEST",
    status_code=200,
    function_error="Unhandled",
    response=b'{"errorMessage": "no stock"}',
    error_message="no stock",
)

SECRET = "wJalrXUtnFEMI"


async def nobody(account: str, function_arn: str, payload: bytes, trace_id: str) -> None:
    raise AssertionError("no function is a target")


def deliveries_to(
    url: str | None,
    *,
    invoke: Any = nobody,
    clock: ManualClock | None = None,
    deadline_s: float = DEADLINE_S,
) -> Deliveries:
    """Every service of every account is at the URL; None: nowhere."""
    values = {"endpoint": url or "", "access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET}
    settings = Settings(**{f"{service}_{name}": value for service in SERVICES for name, value in values.items()})
    return Deliveries(settings.endpoint_of, invoke, clock or ManualClock(), deadline_s)


def attempt(deliveries: Deliveries, target: str, *, dead_letter: bool = False) -> DeliveryFailed | None:
    """One attempt, and how it failed."""
    send = deliveries.dead_letter if dead_letter else deliveries.deliver
    return run(deliveries, lambda: outcome(send(target, FAILED)))


async def outcome(delivery: Coroutine[Any, Any, None]) -> DeliveryFailed | None:
    try:
        await delivery
    except DeliveryFailed as failure:
        return failure
    return None


def run(deliveries: Deliveries, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """The work on a loop of its own, after which the deliveries are closed."""

    async def closing() -> Any:
        try:
            return await work()
        finally:
            deliveries.close()

    return asyncio.run(closing())

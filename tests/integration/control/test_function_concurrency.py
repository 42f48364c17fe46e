"""Reserved concurrency as boto3 uses it, against the running server: kept, told, and invocations held to it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
import pytest
from lambda_api import (
    ARNS,
    broken_constraint,
    clients,
    invalid,
    make_function,
    not_found,
    refusal,
    shape,
    status,
    unique,
    zipped,
)
from live_functions import eventually

UNQUALIFIED_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)
OVER_RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
OVER_RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"
OVER_ACCOUNT = "ConcurrentInvocationLimitExceeded"
WAITS = "import time\ndef handler(event, context):\n    time.sleep(event)\n"


def throttled(api: Any, name: str, payload: bytes = b"0") -> str:
    """The Reason with which the invocation is refused, which it must be."""
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        api.invoke(FunctionName=name, Payload=payload)
    response = raised.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert (response["Error"]["Code"], response["Error"]["Message"]) == ("TooManyRequestsException", "Rate Exceeded.")
    assert response["Type"] == "User"
    return str(response["Reason"])


@pytest.fixture
def own(server: Any) -> Any:
    """A client of an account that no other test reserves concurrency in."""
    return clients(server, account=str(int(unique("")[1:], 16) % 10**12).zfill(12))


def test_a_reservation_is_put_told_replaced_and_taken_away(own: Any) -> None:
    name = unique("reserved")
    arn = make_function(own, name, versions=1)
    assert shape(own.get_function_concurrency(FunctionName=name)) == {}
    assert "Concurrency" not in own.get_function(FunctionName=name)
    put = own.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)
    assert (status(put), shape(put)) == (200, {"ReservedConcurrentExecutions": 7})
    own.put_function_concurrency(FunctionName=arn, ReservedConcurrentExecutions=9)
    assert shape(own.get_function_concurrency(FunctionName=name)) == {"ReservedConcurrentExecutions": 9}
    for qualifier in ({}, {"Qualifier": "$LATEST"}, {"Qualifier": "1"}):
        shown = own.get_function(FunctionName=name, **qualifier)
        assert shown["Concurrency"] == {"ReservedConcurrentExecutions": 9}
    limits = own.get_account_settings()["AccountLimit"]
    assert (limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]) == (1000, 991)
    for _ in range(2):
        deleted = own.delete_function_concurrency(FunctionName=name)
        assert (status(deleted), shape(deleted)) == (204, {})
    assert shape(own.get_function_concurrency(FunctionName=name)) == {}
    assert own.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000


def test_a_hundred_stay_unreserved(own: Any) -> None:
    one, two = unique("reserved"), unique("reserved")
    make_function(own, one)
    make_function(own, two)
    too_much = invalid(
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        "below its minimum value of [100]."
    )
    put = own.put_function_concurrency
    assert refusal(put, FunctionName=one, ReservedConcurrentExecutions=901) == too_much
    put(FunctionName=one, ReservedConcurrentExecutions=900)
    assert refusal(put, FunctionName=two, ReservedConcurrentExecutions=1) == too_much
    put(FunctionName=two, ReservedConcurrentExecutions=0)
    put(FunctionName=one, ReservedConcurrentExecutions=899)
    put(FunctionName=two, ReservedConcurrentExecutions=1)
    own.delete_function(FunctionName=one)
    put(FunctionName=two, ReservedConcurrentExecutions=900)


def test_a_function_that_is_not_there_a_version_and_an_alias_have_none(api: Any) -> None:
    missing, name = unique("missing"), unique("reserved")
    make_function(api, name, versions=1)
    put = api.put_function_concurrency
    found = refusal(put, FunctionName=missing, ReservedConcurrentExecutions=1)
    assert found == not_found(f"Function not found: {ARNS}{missing}:$LATEST")
    for operation in (api.get_function_concurrency, api.delete_function_concurrency):
        assert refusal(operation, FunctionName=missing) == not_found(f"Function not found: {ARNS}{missing}")
    for qualifier in ("1", "live"):
        named = f"{ARNS}{name}:{qualifier}"
        assert refusal(put, FunctionName=named, ReservedConcurrentExecutions=1) == invalid(UNQUALIFIED_ONLY)
        for operation in (api.get_function_concurrency, api.delete_function_concurrency):
            assert refusal(operation, FunctionName=named) == invalid(UNQUALIFIED_ONLY)
    broken_constraint(
        refusal(put, FunctionName=name, ReservedConcurrentExecutions=-1),
        "Value '-1' at 'reservedConcurrentExecutions'",
        "Member must have value greater than or equal to 0",
    )
    broken_constraint(refusal(put, FunctionName=name), "'reservedConcurrentExecutions'", "Member must not be null")
    api.delete_function(FunctionName=name)


def test_invocations_beyond_the_reservation_are_refused_and_none_stops_the_function(api: Any) -> None:
    name = unique("reserved")
    make_function(api, name, Code={"ZipFile": zipped(WAITS)}, Timeout=30)
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    reasons: list[str] = []

    def call(_: int) -> None:
        try:
            assert status(api.invoke(FunctionName=name, Payload=b"1")) == 200
        except botocore.exceptions.ClientError as error:
            reasons.append(error.response["Reason"])

    with ThreadPoolExecutor(6) as callers:
        list(callers.map(call, range(6)))
    # Each that was let in runs for a second, and the others came long before its end.
    assert reasons == [OVER_RESERVED] * 4
    assert status(api.invoke(FunctionName=name, Payload=b"0")) == 200
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert throttled(api, name) == OVER_RESERVED
    # What is wrong with the request is told before.
    assert refusal(api.invoke, FunctionName=name, Payload=b"{").code == "InvalidRequestContentException"
    api.delete_function_concurrency(FunctionName=name)
    assert status(api.invoke(FunctionName=name, Payload=b"0")) == 200
    api.delete_function(FunctionName=name)


def test_a_caller_that_waits_for_each_answer_is_never_over_a_reservation_of_one(data_dir: Any, server: Any) -> None:
    running = type(server)(data_dir, ("--requests-per-s-per-concurrency", "10000")).start()
    try:
        api = clients(running)
        make_function(api, "f", Code={"ZipFile": zipped(WAITS)})
        api.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
        for tail in ("None", "Tail") * 100:
            answer = api.invoke(FunctionName="f", Payload=b"0", LogType=tail)
            assert json.loads(answer["Payload"].read()) is None
    finally:
        assert running.stop() == 0


def test_ten_requests_in_a_second_are_taken_for_each_unit_of_a_reservation(api: Any) -> None:
    name = unique("reserved")
    make_function(api, name, Code={"ZipFile": zipped(WAITS)})
    api.invoke(FunctionName=name, Payload=b"0")  # an environment is there, so that it is quick from here on
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    began, answered = time.monotonic(), 0
    while (refused := throttling(api, name)) is None:
        answered += 1
    assert 10 <= answered <= 10 * (1 + int(time.monotonic() - began))
    assert refused["Reason"] == OVER_RESERVED_RATE
    assert refused["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    eventually(lambda: throttling(api, name) is None)
    api.delete_function(FunctionName=name)


def throttling(api: Any, name: str, payload: bytes = b"0") -> Any:
    """The refusal, or None where the invocation is taken."""
    try:
        assert status(api.invoke(FunctionName=name, Payload=payload)) == 200
    except botocore.exceptions.ClientError as error:
        return error.response
    return None


def test_a_function_starts_so_many_environments_in_ten_seconds_and_those_that_it_has_serve(
    data_dir: Any, server: Any
) -> None:
    running = type(server)(data_dir, ("--scale-out-per-10-s", "2")).start()
    try:
        api = clients(running)
        for name in ("f", "g"):
            make_function(api, name, Code={"ZipFile": zipped(WAITS)}, Timeout=30)
        with ThreadPoolExecutor(4) as callers:
            calls = [callers.submit(throttling, api, "f", b"3") for _ in range(4)]
            assert status(api.invoke(FunctionName="g", Payload=b"0")) == 200
            refused = [call.result() for call in calls if call.result() is not None]
        assert [one["Reason"] for one in refused] == ["FunctionInvocationRateLimitExceeded"] * 2
        for one in refused:
            assert 1 <= int(one["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) <= 10
        assert status(api.invoke(FunctionName="f", Payload=b"0")) == 200
    finally:
        assert running.stop() == 0


def test_what_others_have_reserved_is_not_to_be_had_and_reservations_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir, ("--concurrency-limit", "101")).start()
    try:
        api, elsewhere = clients(crashing), clients(crashing, region="eu-west-1")
        for one in (api, elsewhere):
            make_function(one, "f")
        make_function(api, "g")
        api.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
        crashing.kill()
        # The account has as much now as is reserved.
        crashing.arguments = ("--concurrency-limit", "1")
        crashing.start()
        api, elsewhere = clients(crashing), clients(crashing, region="eu-west-1")
        assert shape(api.get_function_concurrency(FunctionName="f")) == {"ReservedConcurrentExecutions": 1}
        assert shape(elsewhere.get_function_concurrency(FunctionName="f")) == {}
        assert api.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 0
        assert status(api.invoke(FunctionName="f")) == 200
        assert throttled(api, "g") == OVER_ACCOUNT
        assert status(elsewhere.invoke(FunctionName="f")) == 200
        api.delete_function(FunctionName="f")
        make_function(api, "f")
        assert shape(api.get_function_concurrency(FunctionName="f")) == {}
        assert status(api.invoke(FunctionName="g")) == 200
    finally:
        assert crashing.stop() == 0

"""Event-invoke configurations as boto3 uses them, against a running server."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import (
    ARNS,
    OTHER_ACCOUNT,
    broken_constraint,
    clients,
    invalid,
    is_recent,
    make_function,
    not_found,
    refusal,
    shape,
    status,
    unique,
)

QUEUE = "arn:aws:sqs:us-east-1:111122223333:records"
TOPIC = "arn:aws:sns:us-east-1:111122223333:records"
BUS = "arn:aws:events:us-east-1:111122223333:event-bus/default"
BUCKET = "arn:aws:s3:::records"
TABLE = "arn:aws:dynamodb:us-east-1:111122223333:table/t"
LAYER = "arn:aws:lambda:us-east-1:111122223333:layer:l"
NOTHING = {"OnSuccess": {}, "OnFailure": {}}


@pytest.fixture(scope="module")
def function(api: Any) -> Iterator[str]:
    """With version 1 and the alias `live` of it."""
    name = unique("events")
    make_function(api, name, versions=1)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield name
    api.delete_function(FunctionName=name)


@pytest.fixture(autouse=True)
def without_configs(api: Any, function: str) -> Iterator[None]:
    yield
    for config in api.list_function_event_invoke_configs(FunctionName=function)["FunctionEventInvokeConfigs"]:
        api.delete_function_event_invoke_config(FunctionName=config["FunctionArn"])


def without_config(function: str, qualifier: str) -> Any:
    return not_found(f"The function {ARNS}{function}:{qualifier} doesn't have an EventInvokeConfig")


def test_a_config_is_put_read_replaced_and_deleted(api: Any, function: str) -> None:
    put = api.put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        MaximumEventAgeInSeconds=60,
        DestinationConfig={"OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": BUCKET}},
    )
    assert status(put) == 200
    assert shape(put) == {
        "LastModified": put["LastModified"],
        "FunctionArn": f"{ARNS}{function}:$LATEST",
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": 60,
        "DestinationConfig": {"OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": BUCKET}},
    }
    assert is_recent(put["LastModified"].timestamp())
    assert shape(api.get_function_event_invoke_config(FunctionName=function)) == shape(put)

    replaced = api.put_function_event_invoke_config(FunctionName=function, MaximumRetryAttempts=1)
    assert shape(replaced) == {
        "LastModified": replaced["LastModified"],
        "FunctionArn": f"{ARNS}{function}:$LATEST",
        "MaximumRetryAttempts": 1,
        "DestinationConfig": NOTHING,
    }
    deleted = api.delete_function_event_invoke_config(FunctionName=function)
    assert (status(deleted), shape(deleted)) == (204, {})
    for operation in (api.get_function_event_invoke_config, api.delete_function_event_invoke_config):
        assert refusal(operation, FunctionName=function) == without_config(function, "$LATEST")


def test_an_update_keeps_what_it_does_not_name(api: Any, function: str) -> None:
    named = {"FunctionName": function, "Qualifier": "live"}
    api.put_function_event_invoke_config(**named, MaximumRetryAttempts=2)
    api.update_function_event_invoke_config(**named, DestinationConfig={"OnSuccess": {"Destination": TOPIC}})
    api.update_function_event_invoke_config(**named, DestinationConfig={"OnFailure": {"Destination": BUS}})
    updated = api.update_function_event_invoke_config(**named, MaximumEventAgeInSeconds=21600)
    assert shape(updated) == {
        "LastModified": updated["LastModified"],
        "FunctionArn": f"{ARNS}{function}:live",
        "MaximumRetryAttempts": 2,
        "MaximumEventAgeInSeconds": 21600,
        "DestinationConfig": {"OnSuccess": {"Destination": TOPIC}, "OnFailure": {"Destination": BUS}},
    }
    cleared = api.update_function_event_invoke_config(
        **named, DestinationConfig={"OnSuccess": {}, "OnFailure": {"Destination": ""}}
    )
    assert cleared["DestinationConfig"] == NOTHING
    assert shape(api.get_function_event_invoke_config(**named)) == shape(cleared)


@pytest.mark.parametrize(
    ("name", "qualifier", "shown"),
    [
        ("{name}", None, "$LATEST"),
        ("{name}", "$LATEST", "$LATEST"),
        ("{name}", "1", "1"),
        ("{name}:live", None, "live"),
        ("111122223333:function:{name}", "1", "1"),
        (ARNS + "{name}:live", "live", "live"),
    ],
)
def test_each_qualifier_has_a_config_of_its_own_in_every_form(
    api: Any, function: str, name: str, qualifier: str | None, shown: str
) -> None:
    given = {"FunctionName": name.format(name=function), **({"Qualifier": qualifier} if qualifier else {})}
    put = api.put_function_event_invoke_config(**given, MaximumRetryAttempts=1)
    assert put["FunctionArn"] == f"{ARNS}{function}:{shown}"
    assert shape(api.get_function_event_invoke_config(**given)) == shape(put)
    listed = api.list_function_event_invoke_configs(FunctionName=function)["FunctionEventInvokeConfigs"]
    assert listed == [shape(put)]


def test_configs_are_listed_in_pages(api: Any, function: str) -> None:
    assert shape(api.list_function_event_invoke_configs(FunctionName=function)) == {"FunctionEventInvokeConfigs": []}
    made = [
        shape(api.put_function_event_invoke_config(FunctionName=function, Qualifier=q, MaximumRetryAttempts=1))
        for q in ("$LATEST", "1", "live")
    ]
    first = api.list_function_event_invoke_configs(FunctionName=function, MaxItems=2)
    assert first["FunctionEventInvokeConfigs"] == made[:2]
    second = api.list_function_event_invoke_configs(FunctionName=function, MaxItems=2, Marker=first["NextMarker"])
    assert shape(second) == {"FunctionEventInvokeConfigs": made[2:]}


def test_what_is_not_there_is_told_as_aws_tells_it(api: Any, function: str) -> None:
    missing = unique("missing")
    gone = not_found("The function doesn't exist.")
    for given in (
        {"FunctionName": missing},
        {"FunctionName": function, "Qualifier": "2"},
        {"FunctionName": function, "Qualifier": "other"},
        {"FunctionName": function, "Qualifier": "$LATEST.PUBLISHED"},
    ):
        assert refusal(api.put_function_event_invoke_config, **given, MaximumRetryAttempts=1) == gone
        assert refusal(api.update_function_event_invoke_config, **given, MaximumRetryAttempts=1) == gone
        asked = without_config(given["FunctionName"], given.get("Qualifier", "$LATEST"))
        assert refusal(api.get_function_event_invoke_config, **given) == asked
        assert refusal(api.delete_function_event_invoke_config, **given) == asked
    assert refusal(api.list_function_event_invoke_configs, FunctionName=missing) == gone
    assert refusal(
        api.update_function_event_invoke_config, FunctionName=function, MaximumRetryAttempts=1
    ) == without_config(function, "$LATEST")


def test_something_must_be_asked_for(api: Any, function: str) -> None:
    nothing = invalid("You must specify at least one of error handling or destination setting.")
    assert refusal(api.put_function_event_invoke_config, FunctionName=function) == nothing
    assert refusal(api.update_function_event_invoke_config, FunctionName=function) == nothing


def destination_config(success: str | None, failure: str | None) -> str:
    on_success = f"OnSuccess(destination={success})" if success else "null"
    on_failure = f"OnFailure(destination={failure})" if failure else "null"
    return (
        f"The provided destination config DestinationConfig(onSuccess={on_success}, onFailure={on_failure}) is invalid."
    )


@pytest.mark.parametrize(
    ("success", "failure", "message"),
    [
        (BUCKET, None, destination_config(BUCKET, None)),
        (QUEUE, QUEUE + ".fifo", destination_config(QUEUE, QUEUE + ".fifo")),
        (None, TABLE, destination_config(None, TABLE)),
        (None, ARNS + "not-there", f"The destination ARN {ARNS}not-there is invalid."),
        (ARNS + "{name}:2x", None, "You can't specify the function as a destination for itself."),
        (None, ARNS + "{name}", "You can't specify the function as a destination for itself."),
        (LAYER, None, f"The destination ARN {LAYER} is invalid."),
    ],
)
def test_a_destination_that_no_record_could_go_to_is_refused(
    api: Any, function: str, success: str | None, failure: str | None, message: str
) -> None:
    given = {"OnSuccess": success, "OnFailure": failure}
    config = {member: {"Destination": arn.format(name=function)} for member, arn in given.items() if arn}
    found = refusal(api.put_function_event_invoke_config, FunctionName=function, DestinationConfig=config)
    assert found == invalid(message)
    assert refusal(api.get_function_event_invoke_config, FunctionName=function).status == 404
    api.put_function_event_invoke_config(FunctionName=function, MaximumRetryAttempts=1)
    assert refusal(api.update_function_event_invoke_config, FunctionName=function, DestinationConfig=config) == found
    assert api.get_function_event_invoke_config(FunctionName=function)["DestinationConfig"] == NOTHING


def test_another_function_may_be_a_destination_by_any_of_its_qualifiers(api: Any, function: str) -> None:
    other = unique("destination")
    arn = make_function(api, other, versions=1)
    for destination in (arn, f"{arn}:1", f"arn:aws:lambda:us-east-1:{OTHER_ACCOUNT}:function:theirs"):
        config = {"OnSuccess": {"Destination": destination}}
        put = api.put_function_event_invoke_config(FunctionName=function, DestinationConfig=config)
        assert put["DestinationConfig"]["OnSuccess"] == {"Destination": destination}
    config = {"OnSuccess": {"Destination": f"{arn}:2"}}
    assert refusal(api.put_function_event_invoke_config, FunctionName=function, DestinationConfig=config) == invalid(
        f"The destination ARN {arn}:2 is invalid."
    )
    api.delete_function(FunctionName=other)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"MaximumRetryAttempts": 3}, "Value '3' at 'maximumRetryAttempts' failed to satisfy constraint"),
        ({"MaximumRetryAttempts": -1}, "Member must have value greater than or equal to 0"),
        ({"MaximumEventAgeInSeconds": 59}, "Value '59' at 'maximumEventAgeInSeconds'"),
        ({"MaximumEventAgeInSeconds": 21601}, "Member must have value less than or equal to 21600"),
        ({"DestinationConfig": {"OnFailure": {"Destination": "q"}}}, "at 'destinationConfig.onFailure.destination'"),
        ({"Qualifier": "a.b"}, "at 'qualifier'"),
    ],
)
def test_constraints_of_the_model_are_held(api: Any, function: str, members: dict[str, Any], text: str) -> None:
    given = {"FunctionName": function, "MaximumRetryAttempts": 1, **members}
    broken_constraint(refusal(api.put_function_event_invoke_config, **given), text)


def test_a_config_goes_with_the_alias_the_version_or_the_function_that_it_is_for(api: Any) -> None:
    name = unique("going")
    make_function(api, name, versions=1)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier in ("$LATEST", "1", "live"):
        api.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=1)

    def left() -> list[str]:
        listed = api.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
        return [config["FunctionArn"].rpartition(":")[2] for config in listed]

    api.update_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")
    assert left() == ["$LATEST", "1", "live"]
    api.delete_alias(FunctionName=name, Name="live")
    assert left() == ["$LATEST", "1"]
    api.delete_function(FunctionName=name, Qualifier="1")
    assert left() == ["$LATEST"]
    api.update_function_configuration(FunctionName=name, Timeout=4)
    assert left() == ["$LATEST"]
    api.delete_function(FunctionName=name)
    make_function(api, name)
    assert left() == []
    api.delete_function(FunctionName=name)


def test_configs_are_those_of_one_account_and_region_and_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    try:
        api = clients(crashing)
        elsewhere = (clients(crashing, account=OTHER_ACCOUNT), clients(crashing, region="eu-west-1"))
        for one in (api, *elsewhere):
            make_function(one, "f")
        put = shape(api.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1))
        for other in elsewhere:
            assert refusal(other.get_function_event_invoke_config, FunctionName="f").status == 404
        crashing.kill()
        crashing.start()
        assert shape(clients(crashing).get_function_event_invoke_config(FunctionName="f")) == put
    finally:
        assert crashing.stop() == 0

"""The partitions of AWS, as boto3 meets them at a running server: what is made has the ARN of its region's, and an ARN
of another names nothing there."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import (
    ACCOUNT,
    ARNS,
    clients,
    invalid,
    make_function,
    not_found,
    refusal,
    shape,
    unique,
    zipped,
)

FOREIGN = f"arn:aws-cn:lambda:us-east-1:{ACCOUNT}:"


@pytest.fixture
def function(api: Any) -> Iterator[str]:
    name = unique("here")
    make_function(api, name)
    yield name
    api.delete_function(FunctionName=name)


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-east-1", "aws-us-gov"),
        ("us-iso-west-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_what_is_made_in_a_region_has_arns_of_its_partition(server: Any, region: str, partition: str) -> None:
    api = clients(server, region=region)
    arn = f"arn:{partition}:lambda:{region}:{ACCOUNT}:function:f"
    assert make_function(api, "f", Role=f"arn:{partition}:iam::{ACCOUNT}:role/runner") == arn
    runtime = api.get_function_configuration(FunctionName=arn)["RuntimeVersionConfig"]["RuntimeVersionArn"]
    assert runtime.startswith(f"arn:{partition}:lambda:{region}::runtime:")
    permission = {"FunctionName": arn, "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": ACCOUNT}
    assert f"arn:{partition}:iam::{ACCOUNT}:root" in api.add_permission(**permission)["Statement"]
    layer = api.publish_layer_version(LayerName="l", Content={"ZipFile": zipped()})["LayerVersionArn"]
    assert layer == f"arn:{partition}:lambda:{region}:{ACCOUNT}:layer:l:1"
    api.update_function_configuration(FunctionName=arn, Layers=[layer])
    api.tag_resource(Resource=arn, Tags={"k": "v"})
    assert shape(api.list_tags(Resource=arn)) == {"Tags": {"k": "v"}}
    api.delete_function(FunctionName=arn)


def test_a_function_is_not_found_by_an_arn_of_another_partition(api: Any, function: str) -> None:
    unreachable = not_found("Functions from 'aws-cn' are not reachable in this region ('us-east-1')")
    arn = f"{FOREIGN}function:{function}"
    for operation in (api.get_function, api.invoke, api.delete_function, api.publish_version):
        assert refusal(operation, FunctionName=arn) == unreachable
    # The model lets an ARN go without its region.
    assert refusal(api.get_function, FunctionName=arn.replace(":us-east-1", "")) == unreachable
    assert refusal(api.list_tags, Resource=arn) == unreachable
    assert refusal(api.get_resource_policy, ResourceArn=arn) == unreachable
    assert shape(api.list_tags(Resource=ARNS + function)) == {"Tags": {}}


def test_nothing_else_is_found_by_an_arn_of_another_partition(api: Any, function: str) -> None:
    there_is_none = not_found("The resource you requested does not exist.")
    layer = unique("layer")
    api.publish_layer_version(LayerName=layer, Content={"ZipFile": zipped()})
    arn = f"{FOREIGN}layer:{layer}"
    assert refusal(api.get_layer_version_by_arn, Arn=f"{arn}:1") == there_is_none
    assert refusal(api.get_layer_version, LayerName=arn, VersionNumber=1) == there_is_none
    assert refusal(api.publish_layer_version, LayerName=arn, Content={"ZipFile": zipped()}) == there_is_none
    assert refusal(api.update_function_configuration, FunctionName=function, Layers=[f"{arn}:1"]) == invalid(
        f"Layer version {arn}:1 does not exist."
    )
    publishers = {"SigningProfileVersionArns": [f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-profiles/p/0123456789"]}
    config = api.create_code_signing_config(AllowedPublishers=publishers)["CodeSigningConfig"]["CodeSigningConfigArn"]
    foreign = config.replace("arn:aws:", "arn:aws-cn:")
    assert refusal(api.get_code_signing_config, CodeSigningConfigArn=foreign) == not_found(
        f"The Lambda code signing configuration {foreign} can not be found."
    )
    assert refusal(api.list_tags, Resource=foreign) == not_found(f"Code signing config not found: {foreign}")
    queue = f"arn:aws-cn:sqs:us-east-1:{ACCOUNT}:q"
    assert refusal(api.create_event_source_mapping, FunctionName=function, EventSourceArn=queue) == invalid(
        f"The event source {queue} is not in the region of the function."
    )
    destination = f"{FOREIGN}function:{function}"
    assert refusal(
        api.put_function_event_invoke_config,
        FunctionName=function,
        DestinationConfig={"OnFailure": {"Destination": destination}},
    ) == invalid(f"The destination ARN {destination} is invalid.")

"""The setting FileSystemConfigs as boto3 makes it, against a running server."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import invalid, make_function, reconfigure, refusal, told_everywhere, unique

POINTS = "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-"
ONE = {"Arn": f"{POINTS}01234567890123456", "LocalMountPath": "/mnt/one"}
OTHER = {"Arn": f"{POINTS}abcdef01234567890", "LocalMountPath": "/mnt/other"}
NETWORK = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
NO_NETWORK: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}


@pytest.fixture
def function(api: Any) -> Iterator[str]:
    make_function(api, name := unique("mounting"), VpcConfig=NETWORK, FileSystemConfigs=[ONE])
    yield name
    api.delete_function(FunctionName=name)


def test_a_file_system_is_kept_until_another_or_none_is_named(api: Any, function: str) -> None:
    assert told_everywhere(api, function, "FileSystemConfigs") == [ONE]
    reconfigure(api, function, Description="changed")
    assert told_everywhere(api, function, "FileSystemConfigs") == [ONE]
    assert api.publish_version(FunctionName=function)["FileSystemConfigs"] == [ONE]
    reconfigure(api, function, FileSystemConfigs=[OTHER])
    assert told_everywhere(api, function, "FileSystemConfigs") == [OTHER]
    reconfigure(api, function, FileSystemConfigs=[])
    assert told_everywhere(api, function, "FileSystemConfigs") is None
    version = api.get_function_configuration(FunctionName=function, Qualifier="1")
    assert version["FileSystemConfigs"] == [ONE]


def test_a_file_system_is_reached_through_a_vpc(api: Any, function: str) -> None:
    leave = refusal(api.update_function_configuration, FunctionName=function, VpcConfig=NO_NETWORK)
    assert leave == invalid(f"Function VPC configuration cannot be removed with access point {ONE['Arn']} referenced.")
    assert api.get_function_configuration(FunctionName=function)["VpcConfig"]["SubnetIds"] == ["subnet-1"]
    reconfigure(api, function, VpcConfig=NO_NETWORK, FileSystemConfigs=[])
    mount = refusal(api.update_function_configuration, FunctionName=function, FileSystemConfigs=[OTHER])
    assert mount == invalid(
        f"Function must be configured to execute in a VPC to reference access point {OTHER['Arn']}."
    )
    reconfigure(api, function, VpcConfig=NETWORK, FileSystemConfigs=[OTHER])
    assert told_everywhere(api, function, "FileSystemConfigs") == [OTHER]


def test_a_file_system_is_not_in_a_snapshot(api: Any, function: str) -> None:
    together = invalid("File systems are not supported for SnapStart enabled functions.")
    snapped = {"Runtime": "python3.12", "SnapStart": {"ApplyOn": "PublishedVersions"}}
    assert refusal(api.update_function_configuration, FunctionName=function, **snapped) == together
    assert told_everywhere(api, function, "FileSystemConfigs") == [ONE]
    answer = api.update_function_configuration(FunctionName=function, FileSystemConfigs=[], **snapped)
    assert answer["SnapStart"]["ApplyOn"] == "PublishedVersions"

"""The setting TenancyConfig as boto3 makes it, against a running server: made once, and what a function that has it can
not have besides."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import broken_constraint, invalid, make_function, reconfigure, refusal, settle, told_everywhere, unique
from live_functions import eventually

APART = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}
QUEUE = "arn:aws:sqs:us-east-1:111122223333:tenants-"
NO_URL = invalid("Function URLs are not supported for functions with tenant isolation.")
NO_MAPPING = invalid("Event source mappings are not supported for functions with tenant isolation.")
NOT_AHEAD = invalid("Provisioned Concurrency Configs cannot be applied to functions with tenant isolation.")
NO_SNAPSHOT = invalid("Tenant isolation is not supported for SnapStart enabled functions.")


@pytest.fixture
def apart(api: Any) -> Iterator[str]:
    make_function(api, name := unique("apart"), **APART)
    yield name
    api.delete_function(FunctionName=name)


def test_it_is_told_and_stays(api: Any, apart: str) -> None:
    assert told_everywhere(api, apart, "TenancyConfig") == APART["TenancyConfig"]
    reconfigure(api, apart, Description="changed", MemorySize=256)
    assert api.publish_version(FunctionName=apart)["TenancyConfig"] == APART["TenancyConfig"]
    settle(api, apart)
    assert told_everywhere(api, apart, "TenancyConfig") == APART["TenancyConfig"]


def test_a_function_that_was_made_without_has_none(api: Any) -> None:
    make_function(api, name := unique("shared"))
    assert told_everywhere(api, name, "TenancyConfig") is None
    api.delete_function(FunctionName=name)


def test_there_is_one_mode(api: Any) -> None:
    name = unique("never")
    for given, text in (
        ({"TenantIsolationMode": "SHARED"}, "at 'tenancyConfig.tenantIsolationMode'"),
        ({}, "at 'tenancyConfig.tenantIsolationMode'"),
    ):
        found = refusal(
            api.create_function,
            FunctionName=name,
            Runtime="python3.11",
            Handler="app.handler",
            Role="arn:aws:iam::111122223333:role/runner",
            Code={"ZipFile": b"any"},
            TenancyConfig=given,
        )
        broken_constraint(found, text)


def test_it_has_no_url(api: Any, apart: str) -> None:
    assert refusal(api.create_function_url_config, FunctionName=apart, AuthType="NONE") == NO_URL
    assert api.list_function_url_configs(FunctionName=apart)["FunctionUrlConfigs"] == []


def test_it_is_mapped_to_no_source(api: Any, apart: str) -> None:
    source = QUEUE + unique("q")
    assert refusal(api.create_event_source_mapping, FunctionName=apart, EventSourceArn=source) == NO_MAPPING
    make_function(api, shared := unique("shared"))
    uuid = api.create_event_source_mapping(FunctionName=shared, EventSourceArn=source)["UUID"]

    def settled() -> bool:
        return bool(api.get_event_source_mapping(UUID=uuid)["State"] == "Enabled")

    eventually(settled)
    assert refusal(api.update_event_source_mapping, UUID=uuid, FunctionName=apart) == NO_MAPPING
    assert api.get_event_source_mapping(UUID=uuid)["FunctionArn"].endswith(f":{shared}")
    api.delete_event_source_mapping(UUID=uuid)
    api.delete_function(FunctionName=shared)


def test_nothing_of_it_is_initialised_ahead(api: Any, apart: str) -> None:
    api.publish_version(FunctionName=apart)
    settle(api, apart)
    api.create_alias(FunctionName=apart, Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        put = {"FunctionName": apart, "Qualifier": qualifier, "ProvisionedConcurrentExecutions": 1}
        assert refusal(api.put_provisioned_concurrency_config, **put) == NOT_AHEAD
    assert api.list_provisioned_concurrency_configs(FunctionName=apart)["ProvisionedConcurrencyConfigs"] == []


def test_it_is_not_started_from_a_snapshot(api: Any, apart: str) -> None:
    snapped = {"Runtime": "python3.12", "SnapStart": {"ApplyOn": "PublishedVersions"}}
    assert refusal(api.update_function_configuration, FunctionName=apart, **snapped) == NO_SNAPSHOT
    assert api.get_function_configuration(FunctionName=apart)["SnapStart"]["ApplyOn"] == "None"

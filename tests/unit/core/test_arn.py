import re

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.core.arn import function_arn, partition_of, resolve_name
from lambent.core.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ValidationException,
)
from lambent.core.function import FunctionName

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ECHO = FunctionName(ACCOUNT, REGION, "echo")


@pytest.mark.parametrize(
    ("text", "qualifier", "meant"),
    [
        ("echo", None, None),
        ("echo", "1", "1"),
        ("echo:live", None, "live"),
        ("echo:live", "live", "live"),
        ("echo:$LATEST", None, "$LATEST"),
        ("echo:$LATEST.PUBLISHED", None, "$LATEST.PUBLISHED"),
        ("function:echo", None, None),
        ("123456789012:echo", None, None),
        ("123456789012:function:echo:7", None, "7"),
        ("eu-west-1:123456789012:function:echo", None, None),
        ("arn:aws:lambda:eu-west-1:123456789012:function:echo", None, None),
        ("arn:aws:lambda:eu-west-1:123456789012:function:echo:$LATEST", None, "$LATEST"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:echo", "3", "3"),
    ],
)
def test_every_form_names_the_function(text: str, qualifier: str | None, meant: str | None) -> None:
    assert resolve_name(text, qualifier, account=ACCOUNT, region=REGION) == (ECHO, meant)


def test_every_region_is_in_the_partition_that_botocore_has_it_in() -> None:
    partitions = botocore.session.get_session().get_data("partitions")["partitions"]
    regions = {region: each["id"] for each in partitions for region in each["regions"] if "global" not in region}
    assert {region: partition_of(region) for region in regions} == regions
    assert set(regions.values()) >= {"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"}


def test_a_name_may_look_like_a_part_of_an_arn() -> None:
    for name in ("function", "123456789012", "eu-west-1", "arn"):
        function, qualifier = resolve_name(name, None, account=ACCOUNT, region=REGION)
        assert (function.name, qualifier) == (name, None)


def test_what_is_out_of_reach_is_refused() -> None:
    with pytest.raises(ResourceNotFoundException) as region:
        resolve_name("arn:aws:lambda:us-east-1:123456789012:function:echo", None, account=ACCOUNT, region=REGION)
    assert region.value.message == "Functions from 'us-east-1' are not reachable in this region ('eu-west-1')"
    with pytest.raises(AccessDeniedException) as account:
        resolve_name("999999999999:function:echo", None, account=ACCOUNT, region=REGION)
    assert account.value.message is None
    with pytest.raises(InvalidParameterValueException) as differ:
        resolve_name("echo:1", "2", account=ACCOUNT, region=REGION)
    assert differ.value.message == (
        "The derived qualifier from the function name does not match the specified qualifier."
    )


@pytest.mark.parametrize("text", ["a:b:c", ":", "echo:", ":echo", "arn:aws:s3:::bucket", "echo:$OTHER", "e cho:1"])
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(ValidationException):
        resolve_name(text, None, account=ACCOUNT, region=REGION)


@given(
    st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True),
    st.none() | st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True) | st.just("$LATEST"),
)
def test_an_arn_that_we_make_means_what_it_was_made_of(name: str, qualifier: str | None) -> None:
    function = FunctionName(ACCOUNT, REGION, name)
    arn = function_arn(function, qualifier)
    assert resolve_name(arn, None, account=ACCOUNT, region=REGION) == (function, qualifier)


PATTERN = (
    botocore.session.get_session().get_service_model("lambda").shape_for("NamespacedFunctionName").metadata["pattern"]
)


@given(st.from_regex(re.compile(PATTERN, re.ASCII), fullmatch=True))
def test_every_identifier_that_the_model_allows_is_understood(text: str) -> None:
    try:
        function, _ = resolve_name(text, None, account=ACCOUNT, region=REGION)
    except (ResourceNotFoundException, AccessDeniedException):
        return
    assert re.fullmatch(r"[a-zA-Z0-9-_.]+", function.name)

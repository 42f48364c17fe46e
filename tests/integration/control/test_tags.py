"""Tags as boto3 uses them, against a running server."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import (
    ARNS,
    OTHER_ACCOUNT,
    broken_constraint,
    clients,
    invalid,
    make_function,
    not_found,
    refusal,
    shape,
    status,
    unique,
)

LAMBDA = "arn:aws:lambda:us-east-1:111122223333:"
TOO_MANY = invalid("Number of tags exceeds resource tag limit.")


@pytest.fixture(scope="module")
def arn(api: Any) -> Iterator[str]:
    """Of a function with version 1 and the alias `live`."""
    name = unique("tagged")
    arn = make_function(api, name, versions=1)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield arn
    api.delete_function(FunctionName=name)


@pytest.fixture(autouse=True)
def without_tags(api: Any, arn: str) -> Iterator[None]:
    yield
    keys = list(api.list_tags(Resource=arn)["Tags"])
    if keys:
        api.untag_resource(Resource=arn, TagKeys=keys)


def test_tags_are_added_replaced_listed_and_removed(api: Any, arn: str) -> None:
    assert shape(api.list_tags(Resource=arn)) == {"Tags": {}}
    tagged = api.tag_resource(Resource=arn, Tags={"team": "blue", "Größe 1": "", "a/b:c": "x=y@z"})
    assert (status(tagged), shape(tagged)) == (204, {})
    api.tag_resource(Resource=arn, Tags={"team": "red", "more": "1"})
    expected = {"team": "red", "Größe 1": "", "a/b:c": "x=y@z", "more": "1"}
    assert shape(api.list_tags(Resource=arn)) == {"Tags": expected}
    for qualifier in ({}, {"Qualifier": "1"}, {"Qualifier": "live"}):
        assert api.get_function(FunctionName=arn, **qualifier)["Tags"] == expected
    untagged = api.untag_resource(Resource=arn, TagKeys=["Größe 1", "a/b:c", "more", "never there"])
    assert (status(untagged), shape(untagged)) == (204, {})
    assert api.list_tags(Resource=arn)["Tags"] == {"team": "red"}
    api.untag_resource(Resource=arn, TagKeys=["team"])
    assert "Tags" not in api.get_function(FunctionName=arn)


def test_a_change_of_tags_is_a_new_revision_of_the_function_and_of_nothing_else(api: Any, arn: str) -> None:
    def state(qualifier: str) -> tuple[str, Any]:
        found = shape(api.get_function_configuration(FunctionName=arn, Qualifier=qualifier))
        return found.pop("RevisionId"), found

    latest, version = state("$LATEST"), state("1")
    api.tag_resource(Resource=arn, Tags={"k": "v"})
    tagged = state("$LATEST")
    assert tagged[0] != latest[0]
    assert tagged[1] == latest[1]
    api.tag_resource(Resource=arn, Tags={"k": "v"})
    api.untag_resource(Resource=arn, TagKeys=["other"])
    assert state("$LATEST") == tagged
    api.untag_resource(Resource=arn, TagKeys=["k"])
    assert state("$LATEST")[0] not in (tagged[0], latest[0])
    assert state("1") == version


def test_a_function_has_fifty_tags_at_most(api: Any, arn: str) -> None:
    fifty = {f"key{number}": str(number) for number in range(50)}
    assert refusal(api.tag_resource, Resource=arn, Tags={**fifty, "one": "more"}) == TOO_MANY
    assert api.list_tags(Resource=arn)["Tags"] == {}
    api.tag_resource(Resource=arn, Tags=fifty)
    assert refusal(api.tag_resource, Resource=arn, Tags={"one": "more"}) == TOO_MANY
    api.tag_resource(Resource=arn, Tags={"key7": "changed"})
    assert api.list_tags(Resource=arn)["Tags"] == {**fifty, "key7": "changed"}


def test_only_a_function_as_a_whole_has_tags(api: Any, arn: str) -> None:
    unqualified = invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
    for qualifier in ("1", "live", "$LATEST", "not-there"):
        qualified = f"{arn}:{qualifier}"
        assert refusal(api.tag_resource, Resource=qualified, Tags={"a": "b"}) == unqualified
        assert refusal(api.untag_resource, Resource=qualified, TagKeys=["a"]) == unqualified
        assert refusal(api.list_tags, Resource=qualified) == unqualified


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (ARNS + "not-there", f"Function not found: {ARNS}not-there"),
        (
            LAMBDA + "event-source-mapping:01234567-89ab-cdef-0123-456789abcdef",
            f"Event source mapping not found: {LAMBDA}event-source-mapping:01234567-89ab-cdef-0123-456789abcdef",
        ),
        (LAMBDA + "capacity-provider:p", f"Capacity provider not found: {LAMBDA}capacity-provider:p"),
        (
            "arn:aws:lambda:eu-west-1:111122223333:function:f",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        ),
    ],
)
def test_what_is_not_there_is_told_by_its_arn(api: Any, resource: str, message: str) -> None:
    assert refusal(api.tag_resource, Resource=resource, Tags={"a": "b"}) == not_found(message)
    assert refusal(api.untag_resource, Resource=resource, TagKeys=["a"]) == not_found(message)
    assert refusal(api.list_tags, Resource=resource) == not_found(message)


def test_resources_of_another_account_are_out_of_reach(server: Any, api: Any, arn: str) -> None:
    api.tag_resource(Resource=arn, Tags={"a": "b"})
    other = clients(server, account=OTHER_ACCOUNT)
    for operation, members in (
        (other.tag_resource, {"Tags": {"c": "d"}}),
        (other.untag_resource, {"TagKeys": ["a"]}),
        (other.list_tags, {}),
    ):
        found = refusal(operation, Resource=arn, **members)
        assert (found.status, found.code) == (403, "AccessDeniedException")
    assert api.list_tags(Resource=arn)["Tags"] == {"a": "b"}


def test_what_is_no_tag_is_refused(api: Any, arn: str) -> None:
    assert refusal(api.tag_resource, Resource=arn, Tags={}) == invalid(
        "An error occurred and the request cannot be processed."
    )
    for key in ("aws:mine", "AWS:mine", "aws:"):
        assert refusal(api.tag_resource, Resource=arn, Tags={key: "1", "mine": "2"}) == invalid(
            "Tag keys that begin with aws: are reserved."
        )
    for operation, members, text in (
        (api.tag_resource, {}, "Value null at 'tags'"),
        (api.tag_resource, {"Tags": {"k" * 129: "v"}}, "at 'tags'"),
        (api.tag_resource, {"Tags": {"k": "v" * 257}}, "at 'tags'"),
        (api.tag_resource, {"Tags": {"k!": "v"}}, "at 'tags'"),
        (api.untag_resource, {}, "Value null at 'tagKeys'"),
        (api.untag_resource, {"TagKeys": ["k" * 129]}, "at 'tagKeys'"),
    ):
        broken_constraint(refusal(operation, Resource=arn, **members), text)
    for resource in (arn.rpartition(":")[2], "arn:aws:s3:::bucket", LAMBDA + "layer:l"):
        broken_constraint(refusal(api.list_tags, Resource=resource), "at 'resource'")
    assert api.list_tags(Resource=arn)["Tags"] == {}


def test_tags_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    try:
        api = clients(crashing)
        arn = make_function(api, "f", Tags={"first": "1"})
        api.tag_resource(Resource=arn, Tags={"second": "2"})
        revision = api.get_function_configuration(FunctionName="f")["RevisionId"]
        crashing.kill()
        crashing.start()
        api = clients(crashing)
        assert api.list_tags(Resource=arn)["Tags"] == {"first": "1", "second": "2"}
        assert api.get_function_configuration(FunctionName="f")["RevisionId"] == revision
    finally:
        assert crashing.stop() == 0

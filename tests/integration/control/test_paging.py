"""Lists in pages, as boto3 asks for them from a running server: every operation of the Lambda API that has a Marker."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import botocore.session
import pytest
from lambda_api import ARNS, REGION, ROLE, clients, invalid, make_function, not_found, reconfigure, refusal, zipped
from lambda_requests import SIGNER, World, method, requests
from live_functions import eventually

MODEL = botocore.session.get_session().get_service_model("lambda")
PAGE = 50
"""What a page holds at most, where a test does not say otherwise: one less than there is."""
NUMBERS = range(PAGE + 1)
FUNCTION = "page-00"
FUNCTIONS = [f"page-{number:02}" for number in NUMBERS]
VERSIONS = ["$LATEST", *(str(number) for number in NUMBERS if number)]
ALIASES = [f"alias-{number:02}" for number in NUMBERS]
LAYERS = [f"layer-{number:02}" for number in NUMBERS]
ARN = ARNS + FUNCTION
OF_ALIASES = [f"{ARN}:{name}" for name in ALIASES]
PROVISIONED = "123"


@dataclass(frozen=True)
class Listing:
    """An operation with what it lists: under which member, told apart by which, and all of it in order. `page` is
    AWS's largest page."""

    operation: str
    member: str
    key: str | None
    whole: list[Any]
    page: int = PAGE
    asked: dict[str, Any] | None = None

    def __str__(self) -> str:
        return self.operation + ("" if self.asked is None else "-".join(self.asked.values()))

    def keys(self, answer: dict[str, Any]) -> list[Any]:
        items = answer[self.member]
        return list(items) if self.key is None else [item[self.key] for item in items]


LISTINGS = [
    Listing("ListAliases", "Aliases", "Name", ALIASES),
    Listing("ListFunctionEventInvokeConfigs", "FunctionEventInvokeConfigs", "FunctionArn", OF_ALIASES),
    Listing("ListFunctionUrlConfigs", "FunctionUrlConfigs", "FunctionArn", [ARN, *OF_ALIASES]),
    Listing("ListFunctions", "Functions", "FunctionName", FUNCTIONS),
    Listing(
        "ListFunctions",
        "Functions",
        "FunctionArn",
        [*(f"{ARN}:{version}" for version in VERSIONS), *(f"{ARNS}{name}:$LATEST" for name in FUNCTIONS[1:])],
        asked={"FunctionVersion": "ALL"},
    ),
    Listing("ListFunctionsByCodeSigningConfig", "FunctionArns", None, [ARNS + name for name in FUNCTIONS], 10_000),
    Listing("ListLayerVersions", "LayerVersions", "Version", [number + 1 for number in reversed(NUMBERS)]),
    Listing("ListLayers", "Layers", "LayerName", [*LAYERS, FUNCTION]),
    Listing("ListVersionsByFunction", "Versions", "Version", VERSIONS),
    Listing(
        "ListProvisionedConcurrencyConfigs",
        "ProvisionedConcurrencyConfigs",
        "FunctionArn",
        [f"{ARN}:{version}" for version in PROVISIONED],
    ),
]
"""Of what the server gives ids to, whose order is theirs, there is a test apart."""

BY_ID = {"ListCodeSigningConfigs": "CodeSigningConfigs", "ListEventSourceMappings": "EventSourceMappings"}


@pytest.fixture(scope="module")
def own_server(new_server: Any) -> Iterator[Any]:
    """Nobody else lists what it has."""
    with new_server() as server:
        yield server


@pytest.fixture(scope="module")
def signing(own_server: Any) -> str:
    made = clients(own_server).create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [SIGNER]})
    return str(made["CodeSigningConfig"]["CodeSigningConfigArn"])


@pytest.fixture(scope="module")
def api(own_server: Any, signing: str) -> Any:
    """With all that is listed."""
    api = clients(own_server)
    make_function(api, FUNCTION, CodeSigningConfigArn=signing)
    for number in NUMBERS[1:]:
        reconfigure(api, FUNCTION, Description=str(number))
        api.publish_version(FunctionName=FUNCTION)
    api.create_function_url_config(FunctionName=FUNCTION, AuthType="NONE")
    for name in ALIASES:
        named = {"FunctionName": FUNCTION, "Qualifier": name}
        api.create_alias(FunctionName=FUNCTION, Name=name, FunctionVersion="1")
        api.create_function_url_config(**named, AuthType="NONE")
        api.put_function_event_invoke_config(**named, MaximumRetryAttempts=1)
    for name in FUNCTIONS[1:]:
        api.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=ROLE,
            Handler="app.handler",
            Code={"ZipFile": zipped()},
            CodeSigningConfigArn=signing,
        )
    for name in LAYERS:
        api.publish_layer_version(LayerName=name, Content={"ZipFile": zipped()})
    for _ in NUMBERS:
        api.publish_layer_version(LayerName=FUNCTION, Content={"ZipFile": zipped()})
    for version in PROVISIONED:
        api.put_provisioned_concurrency_config(
            FunctionName=FUNCTION, Qualifier=version, ProvisionedConcurrentExecutions=1
        )
    eventually(lambda: statuses(api) == {"READY"})
    return api


def statuses(api: Any) -> set[str]:
    listed = api.list_provisioned_concurrency_configs(FunctionName=FUNCTION)["ProvisionedConcurrencyConfigs"]
    return {config["Status"] for config in listed}


def asking(name: str, signing: str) -> dict[str, Any]:
    """The operation's members, but for those of the page."""
    world = World(function=FUNCTION, layer=FUNCTION, made={"CodeSigningConfigArn": signing})
    return requests(world, World())[name]


def pages(operation: Any, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Answer after answer, to the one that has no marker."""
    marker: dict[str, str] = {}
    while True:
        answer = operation(**params, **marker)
        yield answer
        if "NextMarker" not in answer:
            return
        marker = {"Marker": answer["NextMarker"]}


def test_every_list_that_has_pages_is_here() -> None:
    paged = {
        name
        for name in requests(World(), World())
        if (given := MODEL.operation_model(name).input_shape) is not None and "Marker" in given.members
    }
    assert paged == {listing.operation for listing in LISTINGS} | set(BY_ID)


@pytest.mark.parametrize("listing", LISTINGS, ids=str)
def test_pages_of_any_size_make_up_the_whole_in_order(api: Any, signing: str, listing: Listing) -> None:
    operation = getattr(api, method(listing.operation))
    params = {**asking(listing.operation, signing), **(listing.asked or {})}
    count = len(listing.whole)
    whole = [item for page in pages(operation, params) for item in page[listing.member]]
    assert listing.keys({listing.member: whole}) == listing.whole
    for size in sorted({1, 2, 7, min(count, listing.page) - 1, min(count, listing.page)}):
        found = [page[listing.member] for page in pages(operation, {**params, "MaxItems": size})]
        assert found == [whole[start : start + size] for start in range(0, count, size)]


@pytest.mark.parametrize("listing", LISTINGS, ids=str)
def test_a_page_holds_no_more_than_awss(api: Any, signing: str, listing: Listing) -> None:
    operation = getattr(api, method(listing.operation))
    params = {**asking(listing.operation, signing), **(listing.asked or {})}
    given = MODEL.operation_model(listing.operation).input_shape
    assert given is not None
    largest = given.members["MaxItems"].metadata["max"]
    for asked in ({}, {"MaxItems": largest}):
        answer = operation(**params, **asked)
        assert listing.keys(answer) == listing.whole[: listing.page]
        assert ("NextMarker" in answer) is (len(listing.whole) > listing.page)


def test_what_has_ids_of_the_servers_is_listed_by_them_in_pages(api: Any, signing: str) -> None:
    configs = [signing]
    mappings = []
    for number in range(4):
        made = api.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [SIGNER]})
        configs.append(made["CodeSigningConfig"]["CodeSigningConfigArn"])
        queue = f"arn:aws:sqs:{REGION}:111122223333:queue-{number}"
        made = api.create_event_source_mapping(FunctionName=FUNCTION, EventSourceArn=queue)
        mappings.append(made["UUID"])
    for name, key, whole in (
        ("ListCodeSigningConfigs", "CodeSigningConfigArn", sorted(configs)),
        ("ListEventSourceMappings", "UUID", sorted(mappings)),
    ):
        for size in (1, 2, 3, len(whole), 10_000):
            found = [
                [item[key] for item in page[BY_ID[name]]]
                for page in pages(getattr(api, method(name)), {**asking(name, signing), "MaxItems": size})
            ]
            assert found == [whole[start : start + size] for start in range(0, len(whole), size)]


NO_MARKER = invalid("The Marker is not one that a list of this kind has returned.")
BAD_MARKERS = [
    "?",
    "not one",
    "é",
    *(
        base64.b64encode(text).decode()
        for text in (b"x", b"7", b"/x", b"-1/x", b" 1/x", b"1_0/x", b"9" * 30 + b"/x", b"9" * 5000 + b"/x", b"1/\xff")
    ),
]


@pytest.mark.parametrize("name", sorted({listing.operation for listing in LISTINGS} | set(BY_ID)))
def test_a_marker_that_no_list_has_returned_is_refused(api: Any, signing: str, name: str) -> None:
    operation, params = getattr(api, method(name)), asking(name, signing)
    for marker in BAD_MARKERS:
        assert refusal(operation, **params, Marker=marker) == NO_MARKER


def test_every_version_of_every_function_refuses_such_a_marker_too(api: Any) -> None:
    for marker in BAD_MARKERS:
        assert refusal(api.list_functions, FunctionVersion="ALL", Marker=marker) == NO_MARKER


def test_a_list_goes_on_behind_what_is_gone_and_not_for_a_function_that_is_gone(api: Any) -> None:
    name = "passing"
    make_function(api, name, versions=3)
    for alias in "abcd":
        api.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    aliases = api.list_aliases(FunctionName=name, MaxItems=2)["NextMarker"]
    versions = api.list_versions_by_function(FunctionName=name, MaxItems=3)["NextMarker"]
    api.delete_alias(FunctionName=name, Name="b")
    api.delete_function(FunctionName=name, Qualifier="2")
    left = api.list_aliases(FunctionName=name, Marker=aliases)
    assert [alias["Name"] for alias in left["Aliases"]] == ["c", "d"]
    left = api.list_versions_by_function(FunctionName=name, Marker=versions)
    assert [version["Version"] for version in left["Versions"]] == ["3"]
    api.delete_function(FunctionName=name)
    gone = not_found(f"Function not found: {ARNS}{name}")
    assert refusal(api.list_aliases, FunctionName=name, Marker=aliases) == gone
    assert refusal(api.list_versions_by_function, FunctionName=name, Marker=versions) == gone

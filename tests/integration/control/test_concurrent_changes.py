"""Changes that race for one revision: exactly one is made, whichever operation it is of.

Each contender's request is signed and ready before any is sent: they are let go together.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import pytest
from lambda_api import OTHER_ACCOUNT, clients, make_function, reconfigure, settle, unique, zipped

RACES = 20
"""In each of the ten tests: 200 together."""
CONTENDERS = 6
LATE = "PreconditionFailedException"
BUSY = "ResourceConflictException"

Contender = tuple[str, dict[str, Any]]
"""An operation and its parameters."""


@dataclass(frozen=True)
class Track:
    """A client for each contender, and the requests of all wait for one another before they are sent."""

    clients: list[Any]
    threads: ThreadPoolExecutor

    def race(self, contenders: Sequence[Contender], *refused_with: str) -> int:
        """The number of the only contender that was not refused; the others were, for one of these reasons."""

        def outcome(client: Any, contender: Contender) -> str | None:
            operation, params = contender
            try:
                getattr(client, operation)(**params)
            except botocore.exceptions.ClientError as error:
                return str(error.response["Error"]["Code"])
            return None

        outcomes = list(self.threads.map(outcome, self.clients, contenders, timeout=60))
        assert outcomes.count(None) == 1, outcomes
        assert set(outcomes) <= {None, *refused_with}, outcomes
        return outcomes.index(None)


@pytest.fixture(scope="module")
def track(server: Any) -> Iterator[Track]:
    start = threading.Barrier(CONTENDERS, timeout=60)

    def wait_for_the_others(**_: Any) -> None:
        start.wait()

    contenders = [clients(server) for _ in range(CONTENDERS)]
    for client in contenders:
        client.meta.events.register("before-send.lambda", wait_for_the_others)
    with ThreadPoolExecutor(CONTENDERS) as threads:
        yield Track(contenders, threads)


@pytest.fixture
def function(api: Any) -> Iterator[str]:
    name = unique("raced")
    make_function(api, name)
    yield name
    api.delete_function(FunctionName=name)


@pytest.fixture
def layer(api: Any) -> Iterator[dict[str, Any]]:
    name = unique("raced")
    number = api.publish_layer_version(LayerName=name, Content={"ZipFile": zipped()})["Version"]
    version = {"LayerName": name, "VersionNumber": number}
    yield version
    api.delete_layer_version(**version)


def shown(api: Any, function: str) -> Any:
    return api.get_function_configuration(FunctionName=function)


def code(race: int, own: int) -> bytes:
    return zipped(f"def handler(event, context):\n    return [{race}, {own}]\n")


def sha256(archive: bytes) -> str:
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


def published(api: Any, function: str) -> list[str]:
    """What the versions are described as."""
    pages = api.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    return [version["Description"] for page in pages for version in page["Versions"][1:]]


def statements(policy: dict[str, Any]) -> set[str]:
    return {statement["Sid"] for statement in json.loads(policy["Policy"])["Statement"]}


def test_one_configuration_is_taken(api: Any, track: Track, function: str) -> None:
    for race in range(RACES):
        named = {"FunctionName": function, "RevisionId": shown(api, function)["RevisionId"]}
        winner = track.race(
            [("update_function_configuration", {**named, "Description": f"{race} {own}"}) for own in range(CONTENDERS)],
            LATE,
            BUSY,
        )
        settle(api, function)
        assert shown(api, function)["Description"] == f"{race} {winner}"


def test_one_code_is_taken(api: Any, track: Track, function: str) -> None:
    for race in range(RACES):
        named = {"FunctionName": function, "RevisionId": shown(api, function)["RevisionId"]}
        packages = [code(race, own) for own in range(CONTENDERS)]
        winner = track.race(
            [("update_function_code", {**named, "ZipFile": package}) for package in packages], LATE, BUSY
        )
        settle(api, function)
        assert shown(api, function)["CodeSha256"] == sha256(packages[winner])


def test_one_version_is_published(api: Any, track: Track, function: str) -> None:
    expected = []
    for race in range(RACES):
        reconfigure(api, function, Description=f"for race {race}")
        named = {"FunctionName": function, "RevisionId": shown(api, function)["RevisionId"]}
        winner = track.race(
            [("publish_version", {**named, "Description": f"{race} {own}"}) for own in range(CONTENDERS)], LATE
        )
        expected.append(f"{race} {winner}")
        assert published(api, function) == expected


def test_one_of_all_the_changes_of_a_function_is_made(api: Any, track: Track, function: str) -> None:
    """A configuration, a code, a code that is published at once, a version: they contend for the same revision."""
    changes = [{"Description"}, {"CodeSha256"}, {"CodeSha256"}, set(), {"MemorySize"}, {"CodeSha256", "Architectures"}]
    for race in range(RACES):
        # So that there is something to publish, and every contender has something to change.
        api.update_function_code(FunctionName=function, ZipFile=code(race, 0), Architectures=["x86_64"])
        settle(api, function)
        reconfigure(api, function, Description="as it was", MemorySize=128)
        before, versions = shown(api, function), published(api, function)
        named = {"FunctionName": function, "RevisionId": before["RevisionId"]}
        winner = track.race(
            [
                ("update_function_configuration", {**named, "Description": f"{race}"}),
                ("update_function_code", {**named, "ZipFile": code(race, 1)}),
                ("update_function_code", {**named, "ZipFile": code(race, 2), "Publish": True}),
                ("publish_version", {**named, "Description": f"{race}"}),
                ("update_function_configuration", {**named, "MemorySize": 192}),
                ("update_function_code", {**named, "ZipFile": code(race, 5), "Architectures": ["arm64"]}),
            ],
            LATE,
            BUSY,
        )
        settle(api, function)
        after = shown(api, function)
        compared = {"Description", "CodeSha256", "MemorySize", "Architectures"}
        assert {member for member in compared if after[member] != before[member]} == changes[winner]
        assert published(api, function) == versions + {2: ["as it was"], 3: [f"{race}"]}.get(winner, [])


def test_one_change_of_an_alias_is_made(api: Any, track: Track, function: str) -> None:
    named = {"FunctionName": function, "Name": "live"}
    revision = api.create_alias(**named, FunctionVersion="$LATEST")["RevisionId"]
    for race in range(RACES):
        winner = track.race(
            [
                ("update_alias", {**named, "Description": f"{race} {own}", "RevisionId": revision})
                for own in range(CONTENDERS)
            ],
            LATE,
        )
        after = api.get_alias(**named)
        assert after["Description"] == f"{race} {winner}"
        revision = after["RevisionId"]


def permission(function: str, statement: str) -> dict[str, str]:
    return {
        "FunctionName": function,
        "StatementId": statement,
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }


def test_one_permission_is_added(api: Any, track: Track, function: str) -> None:
    api.add_permission(**permission(function, "first"))
    expected = {"first"}
    for race in range(RACES):
        revision = api.get_policy(FunctionName=function)["RevisionId"]
        winner = track.race(
            [
                ("add_permission", {**permission(function, f"s{race}-{own}"), "RevisionId": revision})
                for own in range(CONTENDERS)
            ],
            LATE,
        )
        expected.add(f"s{race}-{winner}")
        assert statements(api.get_policy(FunctionName=function)) == expected


def test_one_permission_is_removed(api: Any, track: Track, function: str) -> None:
    held = {"last", *(f"s{own}" for own in range(CONTENDERS))}
    for statement in sorted(held):
        api.add_permission(**permission(function, statement))
    for _ in range(RACES):
        named = {"FunctionName": function, "RevisionId": api.get_policy(FunctionName=function)["RevisionId"]}
        winner = track.race(
            [("remove_permission", {**named, "StatementId": f"s{own}"}) for own in range(CONTENDERS)], LATE
        )
        assert statements(api.get_policy(FunctionName=function)) == held - {f"s{winner}"}
        api.add_permission(**permission(function, f"s{winner}"))


def test_one_whole_policy_takes_the_place_of_another(api: Any, track: Track, function: str) -> None:
    api.add_permission(**permission(function, "first"))
    policy = api.get_policy(FunctionName=function)["Policy"]
    arn = json.loads(policy)["Statement"][0]["Resource"]
    for race in range(RACES):
        named = {"ResourceArn": arn, "RevisionId": api.get_resource_policy(ResourceArn=arn)["RevisionId"]}
        winner = track.race(
            [
                ("put_resource_policy", {**named, "Policy": policy.replace("first", f"s{race}-{own}")})
                for own in range(CONTENDERS)
            ],
            LATE,
        )
        assert statements(api.get_resource_policy(ResourceArn=arn)) == {f"s{race}-{winner}"}


def sharing(layer: dict[str, Any], statement: str) -> dict[str, Any]:
    return {**layer, "StatementId": statement, "Action": "lambda:GetLayerVersion", "Principal": OTHER_ACCOUNT}


def test_one_permission_of_a_layer_is_added(api: Any, track: Track, layer: dict[str, Any]) -> None:
    revision = api.add_layer_version_permission(**sharing(layer, "first"))["RevisionId"]
    expected = {"first"}
    for race in range(RACES):
        winner = track.race(
            [
                ("add_layer_version_permission", {**sharing(layer, f"s{race}-{own}"), "RevisionId": revision})
                for own in range(CONTENDERS)
            ],
            LATE,
        )
        expected.add(f"s{race}-{winner}")
        policy = api.get_layer_version_policy(**layer)
        assert statements(policy) == expected
        revision = policy["RevisionId"]


def test_one_permission_of_a_layer_is_removed(api: Any, track: Track, layer: dict[str, Any]) -> None:
    held = {"last", *(f"s{own}" for own in range(CONTENDERS))}
    for statement in sorted(held):
        api.add_layer_version_permission(**sharing(layer, statement))
    for _ in range(RACES):
        named = {**layer, "RevisionId": api.get_layer_version_policy(**layer)["RevisionId"]}
        winner = track.race(
            [("remove_layer_version_permission", {**named, "StatementId": f"s{own}"}) for own in range(CONTENDERS)],
            LATE,
        )
        assert statements(api.get_layer_version_policy(**layer)) == held - {f"s{winner}"}
        api.add_layer_version_permission(**sharing(layer, f"s{winner}"))

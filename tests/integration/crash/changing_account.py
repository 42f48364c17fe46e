"""One client's stream of changes of the Lambda API, and what its part of the account must look like after each: the
model by which a server that was killed is judged.

A stream has functions and layers of its own, and one change under way at a time. When no answer came to that one, it
may be there or not; all before it must be.
"""

import base64
import copy
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from live_functions import PYTHON, ROLE, eventually, package

QUICK = {"Delay": 0.02, "MaxAttempts": 1500}
SETTLED = {"Active", "Successful", "Enabled", "Disabled", "READY"}
QUEUES = "arn:aws:sqs:us-east-1:111122223333:"

Model = dict[str, dict[str, Any]]
"""`functions` and `layers` by name, as `seen_settled` gives them."""


@dataclass
class Stream:
    """`acknowledged` is called after every change that was answered."""

    name: str
    chance: random.Random
    acknowledged: Callable[[], None]
    model: Model = field(default_factory=lambda: {"functions": {}, "layers": {}})
    under_way: Model | None = None
    """What the model becomes by the change that has no answer yet."""
    words: dict[str, str] = field(default_factory=dict)
    """What the code of each CodeSha256 answers."""
    attached: dict[str, str] = field(default_factory=dict)
    """The CodeSha256 of layer versions by ARN, also of those that are deleted: functions may still have them."""
    doing: str = ""
    """For whoever looks into a run that failed."""
    numbers: int = 0

    def go_on(self, client: Any) -> None:
        """One change after another, until the client raises because the server is gone."""
        kinds = {
            self.create: 16,
            self.configure: 24,
            self.replace_code: 16,
            self.publish: 12,
            self.point_alias: 10,
            self.publish_layer: 6,
            self.delete_layer: 2,
            self.map_source: 8,
            self.change_mapping: 4,
            self.unmap_source: 3,
            self.permit: 5,
            self.tag: 4,
            self.provision: 3,
            self.delete: 6,
        }
        while True:
            (change,) = self.chance.choices([*kinds], [*kinds.values()])
            self.doing = change.__name__
            change(client)

    def judge(self, client: Any) -> None:
        """After a kill: every state settles, and what is there is what was acknowledged, with the change that was
        under way or without it."""
        found = eventually(lambda: seen_settled(client, self.name), within_s=60)
        assert found in (self.model, self.under_way), differences(found, self.model, self.under_way)
        self.model, self.under_way = found, None

    def packages(self) -> set[str]:
        """The digests, in hexadecimal, of all that the model has."""
        held = {code for layer in self.model["layers"].values() for code in layer}
        for function in self.model["functions"].values():
            held |= {function["code"], *(version["code"] for version in function["published"])}
            held |= {self.attached[layer] for layer in function["layers"]}
        return {base64.b64decode(code).hex() for code in held}

    # The changes. What each does to the model is told before it is asked for.

    def create(self, client: Any) -> None:
        name, (code, sha256) = self._unique(), self._code()
        known = layer_versions(client, self.name)
        layers = self.chance.sample([*known], min(1, len(known)))
        self.attached |= known
        function: dict[str, Any] = {
            "description": self._unique(),
            "memory": 128,
            "code": sha256,
            "layers": layers,
            "tags": {"by": self.name},
            "published": [],
            "aliases": {},
            "mappings": {},
            "provisioned": {},
            "statements": [],
        }
        publish = self.chance.random() < 0.5
        if publish:
            _publish(function)
        self._change(
            lambda after: after["functions"].update({name: function}),
            client.create_function,
            FunctionName=name,
            Runtime=PYTHON,
            Role=ROLE,
            Handler="app.handler",
            Code={"ZipFile": code},
            Description=function["description"],
            Layers=layers,
            Tags=function["tags"],
            Publish=publish,
        )

    def configure(self, client: Any) -> None:
        name = self._settled_function(client)
        changed = {"description": self._unique(), "memory": self.chance.randrange(128, 512)}
        self._change(
            lambda after: after["functions"][name].update(changed),
            client.update_function_configuration,
            FunctionName=name,
            Description=changed["description"],
            MemorySize=changed["memory"],
        )

    def replace_code(self, client: Any) -> None:
        name, (code, sha256) = self._settled_function(client), self._code()
        publish = self.chance.random() < 0.5

        def effect(after: Model) -> None:
            after["functions"][name]["code"] = sha256
            if publish:
                _publish(after["functions"][name])

        self._change(effect, client.update_function_code, FunctionName=name, ZipFile=code, Publish=publish)

    def publish(self, client: Any) -> None:
        name = self._settled_function(client)
        function = self.model["functions"][name]
        if function["published"][-1:] != [_version(function)]:
            self._change(lambda after: _publish(after["functions"][name]), client.publish_version, FunctionName=name)

    def point_alias(self, client: Any) -> None:
        name = self._function(client)
        function = self.model["functions"][name]
        alias = self.chance.choice(["live", "test"])
        version = self.chance.choice(["$LATEST", *map(str, range(1, len(function["published"]) + 1))])
        self._change(
            lambda after: after["functions"][name]["aliases"].update({alias: version}),
            client.update_alias if alias in function["aliases"] else client.create_alias,
            FunctionName=name,
            Name=alias,
            FunctionVersion=version,
        )

    def publish_layer(self, client: Any) -> None:
        layer, (code, sha256) = f"{self.name}-{self.chance.choice('ab')}", self._code()

        def effect(after: Model) -> None:
            after["layers"][layer] = sorted([*after["layers"].get(layer, []), sha256])

        self._change(effect, client.publish_layer_version, LayerName=layer, Content={"ZipFile": code})

    def delete_layer(self, client: Any) -> None:
        """Functions that have the version keep it."""
        versions = layer_versions(client, self.name)
        if not versions:
            return
        arn = self.chance.choice([*versions])
        layer, number = arn.split(":")[-2:]

        def effect(after: Model) -> None:
            after["layers"][layer].remove(versions[arn])
            if not after["layers"][layer]:
                del after["layers"][layer]

        self._change(effect, client.delete_layer_version, LayerName=layer, VersionNumber=int(number))

    def map_source(self, client: Any) -> None:
        name, source, size = self._function(client), QUEUES + self._unique(), self.chance.randint(1, 10)
        self._change(
            lambda after: after["functions"][name]["mappings"].update({source: [size, True]}),
            client.create_event_source_mapping,
            FunctionName=name,
            EventSourceArn=source,
            BatchSize=size,
        )

    def change_mapping(self, client: Any) -> None:
        name, mapping = self._settled_mapping(client)
        if mapping is None:
            return
        changed = [self.chance.randint(1, 10), self.chance.random() < 0.5]
        self._change(
            lambda after: after["functions"][name]["mappings"].update({mapping["EventSourceArn"]: changed}),
            client.update_event_source_mapping,
            UUID=mapping["UUID"],
            BatchSize=changed[0],
            Enabled=changed[1],
        )

    def unmap_source(self, client: Any) -> None:
        name, mapping = self._settled_mapping(client)
        if mapping is not None:
            self._change(
                lambda after: after["functions"][name]["mappings"].pop(mapping["EventSourceArn"]),
                client.delete_event_source_mapping,
                UUID=mapping["UUID"],
            )

    def permit(self, client: Any) -> None:
        name, statement = self._function(client), self._unique()
        self._change(
            lambda after: after["functions"][name]["statements"].append(statement),
            client.add_permission,
            FunctionName=name,
            StatementId=statement,
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
        )

    def tag(self, client: Any) -> None:
        name, key = self._function(client), self._unique()
        arn = client.get_function_configuration(FunctionName=name)["FunctionArn"]
        self._change(
            lambda after: after["functions"][name]["tags"].update({key: "set"}),
            client.tag_resource,
            Resource=arn,
            Tags={key: "set"},
        )

    def provision(self, client: Any) -> None:
        """One version of all, or none again: its environment is a real one."""
        holder = next((name for name, one in self.model["functions"].items() if one["provisioned"]), None)
        if holder is not None:
            self._change(
                lambda after: after["functions"][holder]["provisioned"].clear(),
                client.delete_provisioned_concurrency_config,
                FunctionName=holder,
                Qualifier="1",
            )
            return
        name = self._settled_function(client)
        if self.model["functions"][name]["published"]:
            client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1", WaiterConfig=QUICK)
            self._change(
                lambda after: after["functions"][name]["provisioned"].update({"1": 1}),
                client.put_provisioned_concurrency_config,
                FunctionName=name,
                Qualifier="1",
                ProvisionedConcurrentExecutions=1,
            )

    def delete(self, client: Any) -> None:
        """A function that would leave no mappings behind."""
        name = self._function(client)
        if not self.model["functions"][name]["mappings"]:
            self._change(lambda after: after["functions"].pop(name), client.delete_function, FunctionName=name)

    def _change(self, effect: Callable[[Model], Any], operation: Callable[..., Any], **params: Any) -> None:
        after = copy.deepcopy(self.model)
        effect(after)
        self.under_way = after
        operation(**params)
        self.model, self.under_way = after, None
        self.acknowledged()

    def _unique(self) -> str:
        self.numbers += 1
        return f"{self.name}-{self.numbers}"

    def _code(self) -> tuple[bytes, str]:
        word = self._unique()
        code = package({"app.py": f"def handler(event, context):\n    return '{word}'\n"})
        sha256 = base64.b64encode(hashlib.sha256(code).digest()).decode()
        self.words[sha256] = word
        return code, sha256

    def _function(self, client: Any) -> str:
        if not self.model["functions"]:
            self.create(client)
        return self.chance.choice([*self.model["functions"]])

    def _settled_function(self, client: Any) -> str:
        name = self._function(client)
        for waiter in ("function_active_v2", "function_updated_v2"):
            client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=QUICK)
        return name

    def _settled_mapping(self, client: Any) -> tuple[str, dict[str, Any] | None]:
        name = self._function(client)
        eventually(lambda: {one["State"] for one in mappings(client, name)} <= SETTLED)
        found = mappings(client, name)
        return name, self.chance.choice(found) if found else None


def _version(function: dict[str, Any]) -> dict[str, Any]:
    return {member: function[member] for member in ("description", "memory", "code")}


def _publish(function: dict[str, Any]) -> None:
    function["published"].append(_version(function))


# What the server shows ------------------------------------------------------------------------------------------------


def seen_settled(client: Any, stream: str) -> Model | None:
    """All that the stream has, in the model's form; None while something of it is in between."""
    states: set[str] = set()
    layers: dict[str, Any] = {}
    for arn, sha256 in layer_versions(client, stream).items():
        layers.setdefault(arn.split(":")[-2], []).append(sha256)
    model = {
        "functions": {name: _seen_function(client, name, states) for name in functions(client, stream)},
        "layers": {name: sorted(versions) for name, versions in layers.items()},
    }
    return model if states <= SETTLED else None


def _seen_function(client: Any, name: str, states: set[str]) -> dict[str, Any]:
    """A function in the model's form. What it and everything of it says of its state is added to `states`."""
    shown = client.get_function(FunctionName=name)
    latest, *published = (
        client.get_function_configuration(FunctionName=name, Qualifier=version) for version in versions(client, name)
    )
    try:
        statements = json.loads(client.get_policy(FunctionName=name)["Policy"])["Statement"]
    except client.exceptions.ResourceNotFoundException:
        statements = []
    mapped, ahead = mappings(client, name), provisioned(client, name)
    for version in (latest, *published):
        states |= {version["State"], version.get("LastUpdateStatus", "none yet")}
    states |= {one["State"] for one in mapped} | {one["Status"] for one in ahead}
    return {
        **_shown(latest),
        "layers": [layer["Arn"] for layer in latest.get("Layers", [])],
        "tags": shown.get("Tags", {}),
        "published": [_shown(version) for version in published],
        "aliases": {
            alias["Name"]: alias["FunctionVersion"] for alias in client.list_aliases(FunctionName=name)["Aliases"]
        },
        "mappings": {one["EventSourceArn"]: [one["BatchSize"], one["State"] == "Enabled"] for one in mapped},
        "provisioned": {
            one["FunctionArn"].split(":")[-1]: one["RequestedProvisionedConcurrentExecutions"] for one in ahead
        },
        "statements": [statement["Sid"] for statement in statements],
    }


def _shown(version: dict[str, Any]) -> dict[str, Any]:
    return {"description": version["Description"], "memory": version["MemorySize"], "code": version["CodeSha256"]}


def functions(client: Any, stream: str) -> list[str]:
    pages = client.get_paginator("list_functions").paginate()
    names = [one["FunctionName"] for page in pages for one in page["Functions"]]
    return [name for name in names if name.startswith(f"{stream}-")]


def versions(client: Any, name: str) -> list[str]:
    """`$LATEST`, then the others, of which no number is left out."""
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    listed = [version["Version"] for page in pages for version in page["Versions"]]
    assert listed == ["$LATEST", *map(str, range(1, len(listed)))]
    return listed


def mappings(client: Any, name: str) -> list[dict[str, Any]]:
    return list(client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"])


def provisioned(client: Any, name: str) -> list[dict[str, Any]]:
    return list(client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"])


def layer_versions(client: Any, stream: str) -> dict[str, str]:
    """The CodeSha256 of every layer version, by ARN."""
    listed = [
        (layer["LayerName"], version)
        for layer in client.list_layers()["Layers"]
        if layer["LayerName"].startswith(f"{stream}-")
        for version in client.list_layer_versions(LayerName=layer["LayerName"])["LayerVersions"]
    ]
    return {
        version["LayerVersionArn"]: client.get_layer_version(LayerName=layer, VersionNumber=version["Version"])[
            "Content"
        ]["CodeSha256"]
        for layer, version in listed
    }


def differences(found: Model, *expected: Model | None) -> str:
    """For the eye: what of each expectation was not found so."""
    told = []
    for model in expected:
        for kind, things in (model or {}).items():
            for name in things.keys() | found[kind].keys():
                there, wanted = found[kind].get(name), things.get(name)
                if there != wanted:
                    told.append(f"{name}: found {there}, expected {wanted}")
        told.append("---")
    return "\n".join(told)

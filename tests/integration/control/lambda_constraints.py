"""The constraints of botocore's Lambda model, for each of them a value that breaks it, and what AWS says of that.

The texts are formulated from the model alone. Where AWS does not keep to its own model, the difference is here, with
its source.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.model import OperationModel, Shape

NUMBERS = ("integer", "long", "float", "double")
NOT_NULL = "Member must not be null"
REGION_AND_ACCOUNT = "us-east-1:111122223333"

QUOTAS = {"MemorySize": 10240, "Timeout": 900, "EphemeralStorageSize": 10240}
"""Maxima that are lower than the model's, which are those of managed instances: developer guide, "Lambda quotas"."""

JUDGED_ELSEWHERE = frozenset(
    {
        # Too long to exist is not found, and an unknown runtime has an error of its own: test_model_walk has both.
        *((name, "FunctionName", "max") for name in ("GetFunction", "GetFunctionConfiguration", "DeleteFunction")),
        *((name, "Runtime", "enum") for name in ("CreateFunction", "UpdateFunctionConfiguration")),
    }
)
"""Operation, member and constraint where AWS's answer is not that of its model. Source: its observed answers."""

SAMPLES: Mapping[str, Any] = {
    "Action": "lambda:InvokeFunction",
    "Alias": "blue",
    "Arn": "arn:aws:sqs:us-east-1:111122223333:q",
    "CapacityProviderArn": f"arn:aws:lambda:{REGION_AND_ACCOUNT}:capacity-provider:c",
    "CodeSigningConfigArn": f"arn:aws:lambda:{REGION_AND_ACCOUNT}:code-signing-config:csc-0123456789abcdefg",
    "CollectionName": "c",
    "DatabaseName": "d",
    "DestinationArn": "arn:aws:sqs:us-east-1:111122223333:q",
    "Endpoint": "broker:9092",
    "EnvironmentVariableName": "NAME",
    "FunctionUrlQualifier": "blue",
    "FileSystemArn": "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0",
    "FunctionRuntimeArn": f"arn:aws:lambda:{REGION_AND_ACCOUNT}:runtime/custom",
    "Handler": "app.handler",
    "KMSKeyArn": "arn:aws:kms:us-east-1:111122223333:key/k",
    "LayerPermissionAllowedAction": "lambda:GetLayerVersion",
    "LayerPermissionAllowedPrincipal": "*",
    "LayerVersionArn": f"arn:aws:lambda:{REGION_AND_ACCOUNT}:layer:l:1",
    "LocalMountPath": "/mnt/x",
    "MasterRegion": "us-east-1",
    "NumericLatestPublishedOrAliasQualifier": "1",
    "OrganizationId": "o-0123456789",
    "PolicyResourceArn": f"arn:aws:lambda:{REGION_AND_ACCOUNT}:function:f",
    "PrincipalOrgID": "o-0123456789",
    "ResourceArn": "arn:aws:sqs:us-east-1:111122223333:q",
    "RevisionId": "00000000-0000-4000-8000-000000000000",
    "RoleArn": "arn:aws:iam::111122223333:role/runner",
    "RuntimeVersionArn": f"arn:aws:lambda:us-east-1::runtime:{'0' * 64}",
    "S3Bucket": "bucket",
    "SecurityGroupId": "sg-1",
    "SourceOwner": "111122223333",
    "SubnetId": "subnet-1",
    "TaggableResource": f"arn:aws:lambda:{REGION_AND_ACCOUNT}:function:f",
    "Topic": "topic",
    "UUIDString": "00000000-0000-4000-8000-000000000000",
}
"""A valid value by the shape's name, for strings of which a lone `1` is not one."""


@dataclass(frozen=True)
class Violation:
    """A value in which one constraint is broken: `name` says where and which, `texts` what AWS says of it. Breaking
    one can break another (a value too long for its pattern), which is then among the texts."""

    name: str
    value: Any
    texts: tuple[str, ...]


def message(texts: Sequence[str]) -> str:
    count = f"{len(texts)} validation error{'s' if len(texts) > 1 else ''} detected: "
    return count + "; ".join(texts)


def sample(shape: Shape) -> Any:
    """A valid value of the shape, with no more than it needs."""
    match shape.type_name:
        case "structure":
            return {name: sample(shape.members[name]) for name in shape.required_members}
        case "list":
            return [sample(shape.member)]
        case "map":
            return {sample(shape.key): sample(shape.value)}
        case "boolean":
            return True
        case "timestamp":
            return 1_700_000_000
        case "blob":
            return b""
        case "float" | "double":
            return float(shape.metadata.get("min", 1))
        case "integer" | "long":
            return int(shape.metadata.get("min", 1))
    value = shape.enum[0] if getattr(shape, "enum", None) else SAMPLES.get(shape.name, "1")
    assert broken(shape, value) == [], f"{shape.name} needs a sample"
    return value


# One value -----------------------------------------------------------------------------------------------------------


def bounds(shape: Shape) -> tuple[Any, Any]:
    found = shape.metadata
    return found.get("min"), QUOTAS.get(shape.name, found.get("max"))


def texts_of(shape: Shape) -> dict[str, str]:
    """What AWS calls each constraint of a shape, in the order in which it tells them."""
    least, most = bounds(shape)
    what = "value" if shape.type_name in NUMBERS else "length"
    number = float if shape.type_name in ("float", "double") else int
    texts = {}
    if most is not None:
        texts["max"] = f"Member must have {what} less than or equal to {number(most)}"
    if least is not None:
        texts["min"] = f"Member must have {what} greater than or equal to {number(least)}"
    if "pattern" in shape.metadata:
        texts["pattern"] = f"Member must satisfy regular expression pattern: {shape.metadata['pattern']}"
    if shape.metadata.get("enum"):
        texts["enum"] = f"Member must satisfy enum value set: [{', '.join(shape.metadata['enum'])}]"
    return texts


def broken(shape: Shape, value: Any) -> list[str]:
    """Which constraints of its own shape a value breaks."""
    least, most = bounds(shape)
    size = value if shape.type_name in NUMBERS else len(value)
    found = []
    if most is not None and size > most:
        found.append("max")
    if least is not None and size < least:
        found.append("min")
    if "pattern" in shape.metadata and not matches(shape.metadata["pattern"], value):
        found.append("pattern")
    if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        found.append("enum")
    return found


def matches(pattern: str, text: str) -> bool:
    """For ASCII text, which is all that is asked about here."""
    return re.fullmatch(pattern.replace(r"\p{L}\p{Z}\p{N}", "a-zA-Z 0-9"), text, re.ASCII) is not None


def breaking(shape: Shape, constraint: str, valid: Any) -> Any:
    """A value that breaks the constraint, and no other one where that can be."""
    least, most = bounds(shape)
    match constraint:
        case "max" if shape.type_name in NUMBERS:
            return most + 1
        case "min" if shape.type_name in NUMBERS:
            return least - 1
        case "max":
            return first(shape, constraint, (valid + valid[-1:] * (most + 1 - len(valid)), "a" * (most + 1)))
        case "min":
            return valid[: least - 1]
        case "enum":
            return "nonesuch"
    tried = (f"{valid} ", f"{valid}!", f"{valid[:-1]}!", "!", f"{valid[:-1]}{{", " ", "{", "a\nb")
    return first(shape, constraint, tried)


def first(shape: Shape, constraint: str, tried: Sequence[str]) -> str:
    """The one of the values that breaks this constraint alone, or else this among others."""
    breaks = [value for value in tried if constraint in broken(shape, value)]
    assert breaks, f"{shape.name}: no value breaks its {constraint}"
    return min(breaks, key=lambda value: len(broken(shape, value)))


def printed(shape: Shape, value: Any) -> str:
    """As Java prints it."""
    if value is None:
        return "null"
    match shape.type_name:
        case "list":
            return f"[{', '.join(printed(shape.member, item) for item in value)}]"
        case "map":
            return "{" + ", ".join(f"{key}={printed(shape.value, item)}" for key, item in value.items()) + "}"
        case "structure":
            members = (f"{lower(name)}={printed(of, value.get(name))}" for name, of in shape.members.items())
            return f"{shape.name}({', '.join(members)})"
        case "float" | "double":
            return str(float(value))
    return str(value)


def lower(name: str) -> str:
    return name[0].lower() + name[1:]


def told(shape: Shape, value: Any, path: str, text: str) -> str:
    """AWS's sentence about a value."""
    shown = "Value" if shape.metadata.get("sensitive") else f"Value '{printed(shape, value)}'"
    return f"{shown} at '{path}' failed to satisfy constraint: {text}"


def missing(path: str) -> str:
    return f"Value null at '{path}' failed to satisfy constraint: {NOT_NULL}"


# Everything within a value -------------------------------------------------------------------------------------------


def violations(shape: Shape, valid: Any, path: str) -> Iterator[Violation]:
    """Every constraint of the shape, and of what is in it, each broken once in a value that is valid else."""
    match shape.type_name:
        case "structure":
            yield from of_members(shape, valid, path)
        case "list":
            yield from of_length(shape, valid, path)
            yield from of_elements(shape, path)
        case "map":
            yield from of_length(shape, valid, path)
            yield from of_entries(shape, path)
        case _:
            for constraint, value in scalars(shape, valid):
                texts = texts_of(shape)
                yield Violation(
                    f"{path} {constraint}",
                    value,
                    tuple(told(shape, value, path, texts[name]) for name in broken(shape, value)),
                )


def scalars(shape: Shape, valid: Any) -> Iterator[tuple[str, Any]]:
    for constraint in texts_of(shape):
        if constraint == "min" and bounds(shape)[0] == 0 and shape.type_name == "string":
            continue  # as are patterns that match every text, the only constraint that nothing breaks
        if constraint == "pattern" and shape.metadata["pattern"] in (r"[\s\S]*", r"[\s\S]+"):
            continue
        yield constraint, breaking(shape, constraint, valid)


def of_members(shape: Shape, valid: Mapping[str, Any], path: str) -> Iterator[Violation]:
    for name, member in shape.members.items():
        within = f"{path}.{lower(name)}" if path else lower(name)
        if name in shape.required_members and member.serialization.get("location") != "uri":
            rest = {key: value for key, value in valid.items() if key != name}
            yield Violation(f"{within} required", rest, (missing(within),))
        inner = valid.get(name)
        for found in violations(member, sample(member) if inner is None else inner, within):
            # An empty label makes another path, and a query has no null.
            if (member.serialization.get("location"), found.value) not in (("uri", ""), ("querystring", [None])):
                yield Violation(found.name, {**valid, name: found.value}, found.texts)


def of_length(shape: Shape, valid: Any, path: str) -> Iterator[Violation]:
    least, most = bounds(shape)
    texts = texts_of(shape)
    if least:
        assert least == 1
        value = type(valid)()
        yield Violation(f"{path} min", value, (told(shape, value, path, texts["min"]),))
    if most is None:
        return
    if shape.type_name == "list":
        value = [sample(shape.member)] * (most + 1)
        yield Violation(f"{path} max", value, (told(shape, value, path, texts["max"]),))
    else:
        value = {f"key{number}": sample(shape.value) for number in range(most + 1)}
        together = [] if not broken(shape.key, "key0") else [told(shape, value, path, all_of("Map keys", shape.key))]
        yield Violation(f"{path} max", value, (told(shape, value, path, texts["max"]), *together))


def all_of(what: str, shape: Shape) -> str:
    """Elements of a container are judged together, by all that holds for them, whichever is broken."""
    return f"{what} must satisfy constraint: [{', '.join([*texts_of(shape).values(), NOT_NULL])}]"


def of_elements(shape: Shape, path: str) -> Iterator[Violation]:
    if shape.member.type_name in ("structure", "list", "map"):
        within = f"{path}.1.member"
        yield Violation(f"{within} null", [None], (missing(within),))
        for found in violations(shape.member, sample(shape.member), within):
            yield Violation(found.name, [found.value], found.texts)
        return
    text = all_of("Member", shape.member)
    for constraint, value in (("null", None), *scalars(shape.member, sample(shape.member))):
        yield Violation(f"{path} element {constraint}", [value], (told(shape, [value], path, text),))


def of_entries(shape: Shape, path: str) -> Iterator[Violation]:
    key = sample(shape.key)
    for constraint, wrong in scalars(shape.key, key):
        value = {wrong: sample(shape.value)}
        text = told(shape, value, path, all_of("Map keys", shape.key))
        yield Violation(f"{path} key {constraint}", value, (text,))
    if shape.value.type_name in ("structure", "list", "map"):
        within = f"{path}.{key}.member"
        yield Violation(f"{within} null", {key: None}, (missing(within),))
        for found in violations(shape.value, sample(shape.value), within):
            yield Violation(found.name, {key: found.value}, found.texts)
        return
    text = all_of("Map value", shape.value)
    for constraint, wrong in (("null", None), *scalars(shape.value, sample(shape.value))):
        value = {key: wrong}
        yield Violation(f"{path} value {constraint}", value, (told(shape, value, path, text),))


def of_operation(operation: OperationModel, valid: Mapping[str, Any]) -> Iterator[Violation]:
    """Every constraint of an operation's input, in requests that are valid else."""
    judged_elsewhere = {
        f"{lower(member)} {constraint}" for name, member, constraint in JUDGED_ELSEWHERE if name == operation.name
    }
    for found in violations(operation.input_shape, valid, ""):
        if found.name not in judged_elsewhere:
            yield found

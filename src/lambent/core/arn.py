"""Amazon Resource Names of functions, and the forms in which callers name a function.

Source of the forms: the Lambda API reference, `FunctionName` of any operation: `name`, `name:qualifier`,
`account:function:name[:qualifier]`, and the full ARN, qualified or not.
"""

import hashlib
import re
from functools import lru_cache

from lambent.core.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ValidationException,
)
from lambent.core.function import FunctionName
from lambent.core.record import Record

_IDENTIFIER = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*)?:lambda:)?(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9-_.]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)


_FULL = re.compile(
    r"arn:(?P<partition>aws[a-zA-Z-]*):lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):function:(?P<name>[a-zA-Z0-9-_]+)"
    r"(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)


_RESOURCE = re.compile(r"arn:(aws[a-zA-Z-]*):lambda:([a-z0-9-]+):(\d{12}):([a-z-]+):(.+)")


_PARTITIONS = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
)
"""By the prefix of their regions' names, all but `aws`. Source: botocore's `partitions.json`."""


@lru_cache(maxsize=256)
def partition_of(region: str) -> str:
    """The partition that a region is in, from the prefix of its name."""
    for prefix, partition in _PARTITIONS:
        if region.startswith(prefix):
            return partition
    return "aws"


def foreign_part(partition: str | None, region: str | None, here: str) -> str | None:
    """What of an ARN with this partition and this region, where it has them, is not that of the region `here`: its
    region, or else its partition. None where the ARN is of that region."""
    if region not in (None, here):
        return region
    return partition if partition not in (None, partition_of(here)) else None


def not_reachable(elsewhere: str, here: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"Functions from '{elsewhere}' are not reachable in this region ('{here}')")


def function_arn(function: FunctionName, qualifier: str | None = None) -> str:
    arn = f"arn:{partition_of(function.region)}:lambda:{function.region}:{function.account}:function:{function.name}"
    return arn if qualifier is None else f"{arn}:{qualifier}"


def read_function_arn(arn: str) -> tuple[FunctionName, str | None] | None:
    """The function and the qualifier that a full ARN names, or None where it can be no function's."""
    match = _FULL.fullmatch(arn)
    if match is None or match["partition"] != partition_of(match["region"]):
        return None
    return FunctionName(match["account"], match["region"], match["name"]), match["qualifier"]


class ResourceArn(Record, frozen=True):
    """The ARN of a resource of the Lambda API: `kind` is its type, `name` all that follows it. `text` is the whole."""

    text: str
    partition: str
    region: str
    account: str
    kind: str
    name: str


def read_resource_arn(text: str) -> ResourceArn | None:
    """The parts of an ARN, or None where it is not one of the Lambda API's resources."""
    match = _RESOURCE.fullmatch(text)
    return None if match is None else ResourceArn(text, *match.groups())


@lru_cache(maxsize=256)
def runtime_version_arn(region: str, runtime: str) -> str:
    """The ARN that names a runtime's version: opaque on AWS, and the same for everybody here."""
    digest = hashlib.sha256(runtime.encode()).hexdigest()
    return f"arn:{partition_of(region)}:lambda:{region}::runtime:{digest}"


@lru_cache(maxsize=4096)
def resolve_name(text: str, qualifier: str | None, *, account: str, region: str) -> tuple[FunctionName, str | None]:
    """The function that a `FunctionName` parameter means, and the qualifier, from either parameter.

    `account` and `region` are those of the request. Raises the modelled errors for a function that is out of reach,
    and for two qualifiers that differ. That the function is there is not looked at.
    """
    if ":" not in text:
        return FunctionName(account, region, text), qualifier
    match = _IDENTIFIER.fullmatch(text)
    if match is None:
        raise ValidationException(
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_IDENTIFIER.pattern}"
        )
    elsewhere = foreign_part(match["partition"], match["region"], region)
    if elsewhere is not None:
        raise not_reachable(elsewhere, region)
    if match["account"] not in (None, account):
        # On AWS too the message is null for a caller that has no permission from the other account.
        raise AccessDeniedException
    if None not in (qualifier, match["qualifier"]) and qualifier != match["qualifier"]:
        raise InvalidParameterValueException(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return FunctionName(account, region, match["name"]), qualifier or match["qualifier"]

"""Layers: named packages with numbered versions, and the use that a function makes of one.

A function keeps what it needs of a layer version in its own configuration (`AttachedLayer`), so that it goes on using
it when the version is deleted.
"""

import hashlib
import re
from collections.abc import Sequence

from lambent.core.arn import partition_of
from lambent.core.function import Package
from lambent.core.record import Record

_ARN = re.compile(
    r"arn:(?P<partition>aws[a-zA-Z-]*):lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:"
    r"(?P<name>[a-zA-Z0-9-_]+)(?P<version>:[0-9]+)?"
)
LARGEST_NUMBER = 2**63 - 1
_MOST_DIGITS = len(str(LARGEST_NUMBER))


class LayerName(Record, frozen=True, order=True):
    """What identifies a layer: names are unique within an account and region."""

    account: str
    region: str
    name: str


class LayerVersion(Record, frozen=True):
    """One version of a layer, which never changes. None where the publisher left a member out."""

    layer: LayerName
    number: int
    package: Package
    created_ms: int
    description: str = ""
    license: str | None = None
    runtimes: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None


def layer_arn(layer: LayerName, number: int | None = None) -> str:
    arn = f"arn:{partition_of(layer.region)}:lambda:{layer.region}:{layer.account}:layer:{layer.name}"
    return arn if number is None else f"{arn}:{number}"


def read_layer_arn(text: str) -> LayerName | None:
    """The layer that an ARN without a version names, or None for any other text."""
    match = _matched(text)
    return _name(match) if match is not None and match["version"] is None else None


def read_layer_version_arn(text: str) -> tuple[LayerName, int] | None:
    """The layer and the number that a version's ARN names, or None for any other text."""
    match = _matched(text)
    if match is None or match["version"] is None:
        return None
    # More digits than any number has: converting them is work, and an error from 4,300 on.
    digits = match["version"][1:].lstrip("0")
    return _name(match), LARGEST_NUMBER + 1 if len(digits) > _MOST_DIGITS else int(digits or "0")


def _matched(text: str) -> re.Match[str] | None:
    match = _ARN.fullmatch(text)
    return match if match is not None and match["partition"] == partition_of(match["region"]) else None


def _name(match: re.Match[str]) -> LayerName:
    return LayerName(match["account"], match["region"], match["name"])


def merged_digest(digests: Sequence[str]) -> str:
    """By which the tree of several layers, one laid over another in this order, is known: that of a single layer is
    its own. In hexadecimal, as a package's digest is."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(("layers", *digests)).encode()).hexdigest()

"""Markers: where the next page of a list begins, opaque to the caller. A page holds at most what AWS's does."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from lambent.core.errors import InvalidParameterValueException
from lambent.core.limits import FUNCTIONS_PER_PAGE

T = TypeVar("T")

_MARKED = re.compile(r"([0-9]{1,18})/(.*)", re.DOTALL)
"""No number that a list counts by has more digits, and none that has as many is too large for the store."""


def page_size(max_items: int | None, largest: int = FUNCTIONS_PER_PAGE) -> int:
    return min(max_items or largest, largest)


def make_marker(name: str, number: int) -> str:
    """The marker of the page after this version of this function."""
    return base64.urlsafe_b64encode(f"{number}/{name}".encode()).decode()


def read_marker(marker: str | None) -> tuple[str, int] | None:
    """The name and number in a marker, None for the first page. Raises InvalidParameterValueException."""
    if not marker:
        return None
    try:
        found = _MARKED.fullmatch(base64.b64decode(marker, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise InvalidParameterValueException("The Marker is not one that a list of this kind has returned.")
    return found[2], int(found[1])


def split_page(found: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """What of a query for one more than `limit` is on the page, and whether there is a next one."""
    return found[:limit], len(found) > limit


def with_next_marker(answer: dict[str, Any], marker: str | None) -> dict[str, Any]:
    if marker is not None:
        answer["NextMarker"] = marker
    return answer

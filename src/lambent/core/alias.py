"""Aliases: names for versions of a function, and which version one invocation by such a name runs.

Source: developer guide, "Create an alias for a Lambda function" and "Implement Lambda canary deployments using a
weighted alias".
"""

from collections.abc import Callable

from lambent.core.function import LATEST, FunctionName
from lambent.core.record import Record


class Routing(Record, frozen=True):
    """The second version of an alias, and its share of the invocations: from 0.0, none, to 1.0, all."""

    version: str
    weight: float


class Alias(Record, frozen=True):
    """`version` gets what `routing` leaves; with a routing, neither of the two is `$LATEST`."""

    function: FunctionName
    name: str
    version: str
    revision_id: str
    description: str = ""
    routing: Routing | None = None


def is_alias_name(qualifier: str) -> bool:
    """Whether a qualifier can be an alias's name: it is not that of a version."""
    return qualifier != LATEST and not qualifier.isdecimal()


def choose_version(alias: Alias, draw: Callable[[], float]) -> str:
    """The version that one invocation runs. `draw` gives a number from 0.0 up to but not including 1.0, evenly, and is
    asked only where there is a choice."""
    routing = alias.routing
    if routing is not None and draw() < routing.weight:
        return routing.version
    return alias.version

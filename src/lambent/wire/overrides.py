"""Where AWS's services do not keep to the constraints of their own models, as data.

Each entry replaces constraints of a shape: `minimum`, `maximum`, `pattern` or `enum`. Those for one operation win over
those for a whole service.
"""

from collections.abc import Mapping
from typing import Any

Constraints = Mapping[str, Any]

BY_SERVICE: Mapping[str, Mapping[str, Constraints]] = {
    "lambda": {
        # The quota of ordinary functions; the model's 32,768 is that of functions on managed instances.
        "MemorySize": {"maximum": 10_240},
        # An unknown runtime is InvalidParameterValueException with a text of its own, which control gives.
        "Runtime": {"enum": ()},
    },
}

BY_OPERATION: Mapping[tuple[str, str], Mapping[str, Constraints]] = {}


def constraints(service: str, operation: str, shape: str) -> Constraints:
    """What replaces the model's constraints of a shape in an operation; mostly nothing."""
    return {
        **BY_SERVICE.get(service, {}).get(shape, {}),
        **BY_OPERATION.get((service, operation), {}).get(shape, {}),
    }

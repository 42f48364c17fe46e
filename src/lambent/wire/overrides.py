"""Where AWS's services do not keep to their own models, as data.

An entry of `BY_SERVICE` or `BY_OPERATION` replaces constraints of a shape: `minimum`, `maximum`, `pattern` or `enum`.
Those for one operation win over those for a whole service.
"""

from collections.abc import Mapping
from typing import Any

from lambent.core import limits

Constraints = Mapping[str, Any]

BY_SERVICE: Mapping[str, Mapping[str, Constraints]] = {
    "lambda": {
        # The quotas of ordinary functions; the model's are those of functions on managed instances.
        "MemorySize": {"maximum": limits.MEMORY_MIB_MAX},
        "Timeout": {"maximum": limits.TIMEOUT_S_MAX},
        "EphemeralStorageSize": {"maximum": limits.EPHEMERAL_MIB_MAX},
    },
}

_ANY_LENGTH: Constraints = {"maximum": None}
_ANY_RUNTIME: Mapping[str, Constraints] = {"Runtime": {"enum": ()}}

BY_OPERATION: Mapping[tuple[str, str], Mapping[str, Constraints]] = {
    # An unknown runtime is InvalidParameterValueException with a text of its own, which control gives.
    ("lambda", "CreateFunction"): _ANY_RUNTIME,
    ("lambda", "UpdateFunctionConfiguration"): _ANY_RUNTIME,
    # A name that is too long to exist is not found.
    ("lambda", "GetFunction"): {"NamespacedFunctionName": _ANY_LENGTH},
    ("lambda", "GetFunctionConfiguration"): {"NamespacedFunctionName": _ANY_LENGTH},
    ("lambda", "DeleteFunction"): {"NamespacedFunctionName": _ANY_LENGTH, "FunctionName": _ANY_LENGTH},
}

ERROR_CODES: Mapping[tuple[str, str], str] = {
    # CloudWatch Logs gives broken constraints another name, with the same text.
    ("logs", "ValidationException"): "InvalidParameterException",
}
"""The code, by service, in place of a general one."""

MESSAGE_NAMES: Mapping[str, str] = {"AccessDeniedException": "Message"}
"""The message's name in errors that Lambda's model has not, where it is not `message`; these carry no `Type`."""


def constraints(service: str, operation: str, shape: str) -> Constraints:
    """What replaces the model's constraints of a shape in an operation; mostly nothing."""
    return {
        **BY_SERVICE.get(service, {}).get(shape, {}),
        **BY_OPERATION.get((service, operation), {}).get(shape, {}),
    }

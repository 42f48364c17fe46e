"""The layers of a function: the member Layers of CreateFunction and UpdateFunctionConfiguration, and their quotas."""

import sqlite3
from collections.abc import Sequence

from msgspec.structs import replace

from lambent.control.layers import check_may_get
from lambent.core.caller import Caller
from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import AttachedLayer, Configuration, FunctionName, Package
from lambent.core.layer import LayerName, layer_arn, read_layer_version_arn
from lambent.core.limits import LAYERS_PER_FUNCTION, UNZIPPED_BYTES
from lambent.store import layers


def with_layers(
    connection: sqlite3.Connection,
    caller: Caller,
    function: FunctionName,
    configuration: Configuration,
    given: Sequence[str] | None,
) -> Configuration:
    """The configuration with the layer versions that these ARNs name in the place of its own; None keeps those it
    has, which may have been deleted since. Raises the modelled errors."""
    if given is None:
        return configuration
    if len(given) > LAYERS_PER_FUNCTION:
        raise InvalidParameterValueException(f"Cannot reference more than {LAYERS_PER_FUNCTION} layers.")
    seen: dict[LayerName, str] = {}
    attached = []
    for arn in given:
        layer, package = _find(connection, caller, function, arn)
        if layer in seen:
            raise InvalidParameterValueException(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{seen[layer]} and {arn} are versions of the same layer."
            )
        seen[layer] = arn
        attached.append(AttachedLayer(arn, package))
    return replace(configuration, layers=tuple(attached))


def _find(
    connection: sqlite3.Connection, caller: Caller, function: FunctionName, arn: str
) -> tuple[LayerName, Package]:
    named = read_layer_version_arn(arn)
    if named is None:
        raise InvalidParameterValueException(f"Layer version {arn} does not exist.")
    layer, number = named
    if layer.account == function.account and layer.region != function.region:
        raise InvalidParameterValueException(
            f"Layers are not in the same region as the function. Layers are expected to be in region {function.region}."
        )
    entry = layers.get_with_policy(connection, layer, number) if layer.region == function.region else None
    check_may_get(caller, layer, number, None if entry is None else entry[1])
    if entry is None:
        raise InvalidParameterValueException(f"Layer version {layer_arn(layer, number)} does not exist.")
    return layer, entry[0].package


def check_size(package: Package, configuration: Configuration) -> None:
    """Raises InvalidParameterValueException where a function and its layers are too large together, unpacked."""
    if not configuration.layers:
        return
    of_layers = sum(layer.package.unzipped for layer in configuration.layers)
    if of_layers > UNZIPPED_BYTES:
        raise InvalidParameterValueException(f"Layers consume more than the available size of {UNZIPPED_BYTES} bytes")
    if of_layers + package.unzipped > UNZIPPED_BYTES:
        raise InvalidParameterValueException(
            f"Function code combined with layers exceeds the maximum allowed size of {UNZIPPED_BYTES} bytes. "
            f"The actual size is {of_layers + package.unzipped} bytes."
        )

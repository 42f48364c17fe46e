"""What a mapping for Kafka may say of a schema registry: SchemaRegistryConfig, and where it needs more. Pure.

Source: API reference, KafkaSchemaRegistryConfig, and developer guide, "Using schema registries with Kafka event sources
in Lambda". AWS publishes these rules and not their texts, which are ours.
"""

import re
from collections.abc import Mapping
from typing import Any

from lambent.core.errors import InvalidParameterValueException

MEMBER = "SchemaRegistryConfig"
_GLUE = re.compile(r"arn:aws[a-zA-Z-]*:glue:[a-z0-9-]+:\d{12}:registry/[a-zA-Z0-9-_$#.]+")
_CONFLUENT = re.compile(r"https?://[^/]+.*")


def check(registry: Mapping[str, Any], *, provisioned: bool) -> None:
    """Raises InvalidParameterValueException. `provisioned` tells whether the mapping has provisioned pollers, which
    alone speak to a registry."""
    if not provisioned:
        raise InvalidParameterValueException(f"{MEMBER} needs ProvisionedPollerConfig.")
    uri = registry.get("SchemaRegistryURI")
    if not uri:
        raise InvalidParameterValueException(f"{MEMBER} needs a SchemaRegistryURI.")
    access = registry.get("AccessConfigs") or ()
    if uri.startswith("arn:"):
        if _GLUE.fullmatch(uri) is None:
            raise InvalidParameterValueException(f"{uri} is not the ARN of a Glue schema registry.")
        if access:
            raise InvalidParameterValueException("A Glue schema registry has no AccessConfigs: the role has access.")
    elif _CONFLUENT.fullmatch(uri) is None:
        raise InvalidParameterValueException(f"{uri} is neither the ARN nor the URL of a schema registry.")
    if not all(entry.get("Type") and entry.get("URI") for entry in access):
        raise InvalidParameterValueException("Each of AccessConfigs has a Type and a URI.")
    attributes = [entry.get("Attribute") for entry in registry.get("SchemaValidationConfigs") or ()]
    if not all(attributes) or len(attributes) != len(set(attributes)):
        raise InvalidParameterValueException("Each of SchemaValidationConfigs has an Attribute, KEY or VALUE, once.")

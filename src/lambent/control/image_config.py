"""What a function whose code is an image can have, and the member ImageConfig: decisions, no I/O."""

import json
from collections.abc import Mapping
from typing import Any

from lambent.control.words import check_words
from lambent.core.code_signing import NOT_FOR_IMAGES
from lambent.core.errors import InvalidParameterValueException
from lambent.core.limits import IMAGE_CONFIG_BYTES

Params = Mapping[str, Any]

RESPONSE = "ImageConfigResponse"
_NOT_OF_IMAGES = ("Handler", "Runtime", "Layers")


def check(params: Params, *, image: bool) -> None:
    """Raises InvalidParameterValueException for members that a function of this kind can not have."""
    config: Params = params.get("ImageConfig") or {}
    if not image:
        if config:
            raise InvalidParameterValueException(
                "Please don't provide ImageConfig for a function with packageType Zip."
            )
        return
    if any(params.get(member) for member in _NOT_OF_IMAGES):
        raise InvalidParameterValueException(
            "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
        )
    if params.get("CodeSigningConfigArn"):
        raise InvalidParameterValueException(NOT_FOR_IMAGES)
    check_words("ImageConfig", (*config.get("EntryPoint", ()), *config.get("Command", ())))
    check_words("ImageConfig", (config.get("WorkingDirectory", ""),))
    measured = json.dumps(config, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > IMAGE_CONFIG_BYTES:
        raise InvalidParameterValueException(f"ImageConfig must not be larger than {IMAGE_CONFIG_BYTES} bytes.")


def store(stored: dict[str, object], params: Params) -> dict[str, object]:
    """`stored` with the member in the form in which it is returned: only what overrides the image is."""
    config: Params | None = params.get("ImageConfig")
    if config is None:
        return stored
    kept = {member: value for member, value in config.items() if value}
    rest = {member: value for member, value in stored.items() if member != RESPONSE}
    return {**rest, RESPONSE: {"ImageConfig": kept}} if kept else rest

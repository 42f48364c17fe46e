"""Container images as the code of functions: how they are named, and that they can not be run yet.

Source of the form: Amazon ECR user guide, "Amazon ECR private registries" and "repositories"; developer guide, "Create
a Lambda function using a container image": the image must be in a private repository of ECR.
"""

import re

from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import Image

CAN_NOT_BE_RUN = (
    "Lambent can not run container images yet: see docs/compatibility.md. "
    "The function is kept as it is; deploy its code as a .zip file archive to run it."
)
CAN_NOT_BE_RUN_CODE = "InvalidImage"
"""Of AWS's codes the one that says of the image, and not of the right to it, that it is the reason."""

_URI = re.compile(
    r"[0-9]{12}\.dkr(?:\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?|-ecr(?:-fips)?\.[a-z0-9-]+\.on\.aws)/"
    r"(?P<repository>[a-z0-9]+(?:(?:[._-]|__|[/])[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
_REPOSITORY_CHARACTERS = 256


def read_image_uri(uri: str) -> Image:
    """Raises InvalidParameterValueException for what names no image in ECR."""
    match = _URI.fullmatch(uri)
    if match is None or len(match["repository"]) > _REPOSITORY_CHARACTERS:
        raise InvalidParameterValueException(f"Source image {uri} is not valid. Provide a valid source image.")
    return Image(uri, match["digest"])

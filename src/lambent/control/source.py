"""Where a function's code comes from in a request: the members of FunctionCode and of UpdateFunctionCode."""

from collections.abc import Mapping
from typing import Any

from lambent.control.configuration import not_yet
from lambent.core.errors import InvalidParameterValueException

_FROM_S3 = ("S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode")


def archive_given(code: Mapping[str, Any], doing: str) -> bytes:
    """The zip archive in the request. `doing` is `creating` or `updating`, for the messages. Raises the modelled
    errors for a request without one, or with another source as well."""
    archive: bytes | None = code.get("ZipFile")
    from_s3 = any(code.get(member) for member in _FROM_S3)
    image = code.get("ImageUri")
    if image:
        raise InvalidParameterValueException(
            f"Please don't provide ImageUri when {doing} a function with packageType Zip."
        )
    if archive is not None and from_s3:
        raise InvalidParameterValueException(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        )
    if from_s3:
        raise not_yet("Code from S3 (S3Bucket, S3Key)")
    if code.get("SourceKMSKeyArn"):
        raise not_yet("SourceKMSKeyArn")
    if archive is None:
        raise InvalidParameterValueException("Please provide a source for function code.")
    return archive

"""Where code comes from in a request: the members of FunctionCode, UpdateFunctionCode and LayerVersionContentInput."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO

from lambent.control.code_buckets import S3Object
from lambent.control.configuration import not_yet
from lambent.control.dependencies import Control
from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import NO_PACKAGE, Image, Package
from lambent.core.image import read_image_uri
from lambent.wire.call import Call

_FROM_S3 = ("S3Bucket", "S3Key", "S3ObjectVersion")

Archive = bytes | S3Object
"""A zip archive, or the object that is one."""

Code = Archive | Image


def code_given(code: Mapping[str, Any], doing: str, *, image: bool) -> Code:
    """The code that the request names, for a function whose code is an image or is not. `doing` is `creating` or
    `updating`, for the messages. Raises the modelled errors for a request without it, or with something else."""
    if not image:
        return archive_given(code, doing)
    uri = code.get("ImageUri")
    if not uri:
        raise InvalidParameterValueException(f"Please provide ImageUri when {doing} a function with packageType Image.")
    if code.get("ZipFile") is not None or any(code.get(member) for member in _FROM_S3):
        raise InvalidParameterValueException(
            "Please do not provide other FunctionCode parameters when providing an ImageUri."
        )
    return read_image_uri(uri)


def image_of(code: Code) -> Image | None:
    return code if isinstance(code, Image) else None


def archive_given(code: Mapping[str, Any], doing: str) -> Archive:
    """The zip archive that the request names. `doing` is `creating` or `updating`, for the messages. Raises the
    modelled errors for a request without one, or with another source as well."""
    archive: bytes | None = code.get("ZipFile")
    from_s3 = any(code.get(member) for member in _FROM_S3)
    if code.get("ImageUri"):
        raise InvalidParameterValueException(
            f"Please don't provide ImageUri when {doing} a function with packageType Zip."
        )
    if archive is not None and from_s3:
        raise InvalidParameterValueException(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        )
    if code.get("SourceKMSKeyArn"):
        raise not_yet("SourceKMSKeyArn")
    if code.get("S3ObjectStorageMode") == "REFERENCE":
        raise not_yet("S3ObjectStorageMode REFERENCE")
    if from_s3:
        return _object(code)
    if archive is None:
        raise InvalidParameterValueException("Please provide a source for function code.")
    return archive


def _object(code: Mapping[str, Any]) -> S3Object:
    bucket, key = code.get("S3Bucket"), code.get("S3Key")
    if not bucket or not key:
        raise InvalidParameterValueException("S3Bucket and S3Key are needed together.")
    return S3Object(bucket, key, code.get("S3ObjectVersion"))


async def receive(deps: Control, call: Call, source: Code, *, keep: bool = True) -> Package:
    """The package, unpacked and in the store of packages, for the caller to protect with `arriving`; where it is not to
    be kept, what it would be. NO_PACKAGE of an image. Raises what the store's `put` does, and AWS's errors for an
    object that can not be read."""
    if isinstance(source, Image):
        return NO_PACKAGE
    if isinstance(source, bytes):
        return await deps.packages.put(source, keep=keep)
    return await deps.packages.fetch(_download(deps, call, source), keep=keep)


def _download(deps: Control, call: Call, source: S3Object) -> Callable[[BinaryIO], None]:
    # Before a thread is taken for it.
    deps.buckets.check(call.caller.account)
    return partial(deps.buckets.download, call.caller.account, call.region, source)

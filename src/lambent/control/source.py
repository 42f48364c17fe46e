"""Where code comes from in a request: the members of FunctionCode, UpdateFunctionCode and LayerVersionContentInput."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO

from msgspec.structs import replace

from lambent.control.dependencies import Control
from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import NO_PACKAGE, Image, Origin, Package, S3Object
from lambent.core.image import read_image_uri
from lambent.core.record import Record
from lambent.wire.call import Call

_FROM_S3 = ("S3Bucket", "S3Key", "S3ObjectVersion")
_KEPT = ("S3ObjectStorageMode", "SourceKMSKeyArn")


class Archive(Record, frozen=True):
    """A zip archive, or the object that is one."""

    source: bytes | S3Object
    origin: Origin | None = None


Code = Archive | Image


def code_given(code: Mapping[str, Any], doing: str, *, image: bool) -> Code:
    """The code that the request names, for a function whose code is an image or is not. `doing` is `creating` or
    `updating`, for the messages. Raises the modelled errors for a request without it, or with something else."""
    if not image:
        return archive_given(code, doing)
    uri = code.get("ImageUri")
    if not uri:
        raise InvalidParameterValueException(f"Please provide ImageUri when {doing} a function with packageType Image.")
    if code.get("ZipFile") is not None or any(code.get(member) for member in (*_FROM_S3, *_KEPT)):
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
    if not from_s3 and archive is None:
        raise InvalidParameterValueException("Please provide a source for function code.")
    source = _object(code) if archive is None else archive
    return Archive(source, _origin(code, source))


def _origin(code: Mapping[str, Any], source: bytes | S3Object) -> Origin | None:
    key_arn = code.get("SourceKMSKeyArn") or None
    if code.get("S3ObjectStorageMode") != "REFERENCE":
        return None if key_arn is None else Origin(key_arn)
    if isinstance(source, bytes):
        raise InvalidParameterValueException("S3ObjectStorageMode REFERENCE needs S3Bucket and S3Key.")
    return Origin(key_arn, source)


def told_of_origin(package: Package) -> dict[str, Any]:
    """Members of FunctionCodeLocation and of LayerVersionContentOutput."""
    origin = package.origin or Origin()
    told: dict[str, Any] = {} if origin.key_arn is None else {"SourceKMSKeyArn": origin.key_arn}
    if origin.referenced is not None:
        # What version the object had, where the caller named none, is not asked for.
        told["ResolvedS3Object"] = {
            "S3Bucket": origin.referenced.bucket,
            "S3Key": origin.referenced.key,
            "S3ObjectVersion": origin.referenced.version,
        }
    return told


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
    if isinstance(source.source, bytes):
        package = await deps.packages.put(source.source, keep=keep)
    else:
        package = await deps.packages.fetch(_download(deps, call, source.source), keep=keep)
    return replace(package, origin=source.origin)


def _download(deps: Control, call: Call, source: S3Object) -> Callable[[BinaryIO], None]:
    # Before a thread is taken for it.
    deps.buckets.check(call.caller.account)
    return partial(deps.buckets.download, call.caller.account, call.region, source)

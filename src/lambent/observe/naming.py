"""How the CloudWatch Logs API names things: groups by name or ARN, positions by opaque tokens."""

import base64
import binascii
from typing import NoReturn

import msgspec

from lambent.observe.errors import InvalidParameterException
from lambent.observe.segments import Boundary
from lambent.wire.call import Call

_GROUP_ARN = ":log-group:"


def group_arn(call: Call, name: str) -> str:
    """The ARN of a group in the account and region of the call, without the `:*` that stands for its streams."""
    return f"arn:{call.partition}:logs:{call.region}:{call.caller.account}{_GROUP_ARN}{name}"


def group_named(call: Call) -> str:
    """The group that a call is about, from `logGroupName` or `logGroupIdentifier`. Raises InvalidParameterException."""
    name, identifier = call.params.get("logGroupName"), call.params.get("logGroupIdentifier")
    if name is not None and identifier is not None:
        raise InvalidParameterException("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
    if name is not None:
        return str(name)
    if identifier is None:
        raise InvalidParameterException("LogGroup name and LogGroup ARN are empty, please choose one to pass in.")
    return name_in(call, identifier)


def name_in(call: Call, identifier: str) -> str:
    """The name in an identifier: a name, or an ARN with or without `:*`, of this account and region."""
    if not identifier.startswith("arn:"):
        return identifier
    name = identifier.removesuffix(":*").partition(_GROUP_ARN)[2]
    if not name or group_arn(call, name) != identifier.removesuffix(":*"):
        raise InvalidParameterException(f"The ARN '{identifier}' is not of a log group in this account and region.")
    return name


def refuse_token() -> NoReturn:
    raise InvalidParameterException("The specified nextToken is invalid.")


def seal(*parts: str | int | bool) -> str:
    """A token that carries the parts. It is opaque to callers, who are not meant to make one."""
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode()


def unseal(token: str, kinds: type[tuple[object, ...]]) -> tuple[object, ...]:
    """The parts of a token. Raises InvalidParameterException on one that we did not make."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token.encode()), type=kinds)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        refuse_token()


_DIGITS = (20, 18, 18)
"""Of segment, offset and position: together the 56 digits that event ids and stream tokens of AWS have."""


def boundary_digits(boundary: Boundary) -> str:
    return "".join(f"{part:0{width}d}" for part, width in zip(boundary, _DIGITS, strict=True))


def boundary_of(digits: str) -> Boundary:
    """Raises InvalidParameterException."""
    if len(digits) != sum(_DIGITS) or not (digits.isascii() and digits.isdecimal()):
        refuse_token()
    segment, offset = _DIGITS[0], _DIGITS[0] + _DIGITS[1]
    return int(digits[:segment]), int(digits[segment:offset]), int(digits[offset:])

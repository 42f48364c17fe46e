"""Whether bytes are JSON, without building anything from them where that can be told so."""

import json

import msgspec

_skim = msgspec.json.Decoder(msgspec.Raw)


def is_json(text: bytes) -> bool:
    """Half of a surrogate pair, escaped, is in JSON's grammar (RFC 8259, 8.2), and serialisers write it. What nests
    deeper than is read is taken for none."""
    try:
        _skim.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _is_json_after_all(text)
    except RecursionError:
        return False
    return True


def _is_json_after_all(text: bytes) -> bool:
    try:
        json.loads(text.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    """Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(constant)

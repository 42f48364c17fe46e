"""X-Amz-Client-Context: base64 of a JSON object, handed to the function decoded."""

import base64
import binascii
import json

from lambent.core.errors import InvalidRequestContentException
from lambent.core.limits import CLIENT_CONTEXT_BYTES


def decode_client_context(encoded: str) -> str:
    """The JSON text in the header. Raises InvalidRequestContentException.

    Source: API reference, Invoke: up to 3,583 bytes of base64-encoded data.
    """
    if len(encoded) > CLIENT_CONTEXT_BYTES:
        raise InvalidRequestContentException(
            f"Client context must be smaller than {CLIENT_CONTEXT_BYTES} bytes when base64-encoded"
        )
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        document = json.loads(text)
        compact = json.dumps(document, separators=(",", ":"))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.") from None
    if not isinstance(document, dict):
        raise InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.")
    # It becomes one header line of the Runtime API's answer.
    return compact

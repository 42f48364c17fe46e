"""From an error to the HTTP response of the request's protocol.

The model says an error's status, its members, where they travel and how its code is spelled. What no model has
(Lambda's ValidationException, an operation that is not there) follows the tables here and in `overrides`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from lambent.core.errors import ModelledError
from lambent.core.record import Record
from lambent.wire import bindings, cbor, jsonform, overrides, xml
from lambent.wire.catalog import Protocol, Service, Shape
from lambent.wire.http import HttpResponse
from lambent.wire.routes import Routed, UnknownOperation, Unrouted

Headers = dict[str, str]

_UNMODELLED_STATUS = {
    "AccessDeniedException": 403,
    "NotImplementedException": 501,
    "RequestEntityTooLargeException": 413,
    "RequestTooLargeException": 413,
    "ResourceNotFoundException": 404,
    "ServiceException": 500,
    "TooManyRequestsException": 429,
}
"""Statuses of errors that the service's model has not; others are 400, or 500 where the fault is the service's."""

_QUERY_CODES = {
    "AccessDeniedException": "AccessDenied",
    "SerializationException": "MalformedInput",
    "ServiceException": "InternalFailure",
    "TooManyRequestsException": "Throttling",
    "UnknownOperationException": "InvalidAction",
    "ValidationException": "ValidationError",
}
"""The common errors of the query protocol, by the names that they have elsewhere."""


def request_id_header(service: Service | None) -> str:
    return "x-amz-request-id" if service is not None and service.name == "s3" else "x-amzn-RequestId"


class _Fault(Record, frozen=True):
    """An error and what is known about it. `code` is the name of its shape, whether the model has one or not."""

    error: ModelledError
    code: str
    service: Service | None
    shape: Shape | None
    request_id: str

    @property
    def unknown_operation(self) -> bool:
        return isinstance(self.error, UnknownOperation)

    @property
    def status(self) -> int:
        if self.shape is None:
            return _UNMODELLED_STATUS.get(self.code, 500 if self.error.fault == "Service" else 400)
        if self.shape.error is not None and self.shape.error.status is not None:
            return self.shape.error.status
        return 500 if self.shape.fault else 400

    @property
    def is_sender(self) -> bool:
        if self.shape is not None and self.shape.error is not None and self.shape.error.sender:
            return True
        return self.status < 500

    @property
    def query_code(self) -> str:
        """The code of the query protocol, which models may spell unlike the shape's name."""
        if self.shape is None:
            return _QUERY_CODES.get(self.code, self.code)
        return (self.shape.error and self.shape.error.code) or self.shape.name

    def content(self) -> dict[str, Any]:
        """The members by the names of the shape; the message has the name that the model gives it."""
        given: Mapping[str, Any] = self.error.members
        message_name = overrides.MESSAGE_NAMES.get(self.code, "message")
        if self.shape is not None:
            given = {name: value for name, value in given.items() if name in self.shape.members}
            message_name = next((name for name in self.shape.members if name.lower() == "message"), "message")
        content = {name: value for name, value in given.items() if value is not None}
        if self.error.message is not None:
            content[message_name] = self.error.message
        return content


def fail(routed: Routed | None, error: ModelledError, request_id: str) -> HttpResponse:
    """The response for an error. Without a route, an `Unrouted` error tells service and protocol itself."""
    service = None if routed is None else routed.service
    protocol = None if routed is None else routed.protocol
    if isinstance(error, Unrouted):
        service, protocol = error.service, error.protocol
    code = error.code
    if service is not None:
        code = overrides.ERROR_CODES.get((service.name, code), code)
    shape = None if service is None else service.error(code)
    fault = _Fault(error, code if shape is None else shape.name, service, shape, request_id)
    status = fault.status
    match protocol:
        case Protocol.JSON:
            headers, body = _json(fault)
        case Protocol.CBOR:
            headers, body = _cbor(fault)
            status = 404 if fault.unknown_operation else status
        case Protocol.QUERY:
            headers, body = _query(fault)
        case Protocol.REST_XML:
            headers, body = _rest_xml(fault)
            status = 404 if fault.unknown_operation else status
        case Protocol.REST_JSON | None:
            headers, body = _rest_json(fault)
            status = 404 if fault.unknown_operation else status
    if service is not None and service.query_compatible and protocol is not Protocol.QUERY:
        # Such a model's statuses are those of the query protocol that the service once spoke.
        status = 500 if status >= 500 else 400
    headers[request_id_header(service)] = request_id
    return HttpResponse(status, tuple(headers.items()), body)


@lru_cache(maxsize=512)
def _writers(shape: Shape, rest: bool) -> tuple[bindings.Outputs, Callable[[Any], dict[str, Any]]]:
    bound = bindings.outputs(shape)
    return bound, jsonform.Writers().structure(bound.body if rest else tuple(shape.members.values()))


def _document(fault: _Fault, rest: bool, headers: Headers) -> dict[str, Any]:
    """The members for a JSON body; those that the model puts into headers go there."""
    content = fault.content()
    if fault.shape is None:
        if not rest:
            content.pop("Type", None)
        elif fault.code in overrides.MESSAGE_NAMES:
            # Lambda shows such an error's message even where it has none.
            return {overrides.MESSAGE_NAMES[fault.code]: fault.error.message}
        return content
    bound, write = _writers(fault.shape, rest)
    if rest:
        bound.write(content, headers)
    # Errors that the model leaves without members have a message all the same.
    others = {name: value for name, value in content.items() if name not in fault.shape.members}
    return {**write(content), **others}


def _rest_json(fault: _Fault) -> tuple[Headers, bytes]:
    if fault.unknown_operation:
        return {"x-amzn-ErrorType": fault.code}, b"<UnknownOperationException/>\n"
    headers: Headers = {"Content-Type": "application/json", "x-amzn-ErrorType": fault.code}
    return headers, jsonform.encode(_document(fault, True, headers))


def _query_compatible(fault: _Fault, headers: Headers) -> None:
    if fault.service is not None and fault.service.query_compatible:
        side = "Sender" if fault.is_sender else "Receiver"
        headers["x-amzn-query-error"] = f"{fault.query_code};{side}"


def _json(fault: _Fault) -> tuple[Headers, bytes]:
    version = "1.0" if fault.service is None else fault.service.json_version
    headers: Headers = {"Content-Type": f"application/x-amz-json-{version}"}
    _query_compatible(fault, headers)
    return headers, jsonform.encode({"__type": fault.code, **_document(fault, False, headers)})


def _cbor(fault: _Fault) -> tuple[Headers, bytes]:
    headers: Headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    _query_compatible(fault, headers)
    content = fault.content()
    if fault.shape is None:
        content.pop("Type", None)
    else:
        content |= cbor.writers().of(fault.shape)(content)
    return headers, cbor.encode({"__type": fault.code, **content})


def _xml_error(fault: _Fault, typed: bool) -> list[str]:
    """The `Error` element: Type, Code and Message, then the members of the shape that are none of these."""
    out = ["<Error>"]
    if typed:
        out.append(xml.text_element("Type", "Sender" if fault.is_sender else "Receiver"))
    out.append(xml.text_element("Code", fault.query_code))
    if fault.error.message is not None:
        out.append(xml.text_element("Message", fault.error.message))
    if fault.shape is not None:
        body = bindings.outputs(fault.shape).body
        others = tuple(member for member in body if member.name.lower() not in ("message", "type", "code"))
        xml.Writers().members(others)(out, fault.error.members)
    out.append("</Error>")
    return out


def _error_response(fault: _Fault) -> bytes:
    namespace = "" if fault.service is None else xml.namespace_text(fault.service.xml_namespace)
    inner = "".join(_xml_error(fault, typed=True))
    request_id = xml.text_element("RequestId", fault.request_id)
    return f"<ErrorResponse{namespace}>{inner}{request_id}</ErrorResponse>".encode()


def _query(fault: _Fault) -> tuple[Headers, bytes]:
    return {"Content-Type": "text/xml"}, _error_response(fault)


def _rest_xml(fault: _Fault) -> tuple[Headers, bytes]:
    headers: Headers = {"Content-Type": "application/xml"}
    if fault.shape is not None:
        bindings.outputs(fault.shape).write(fault.error.members, headers)
    if fault.service is not None and fault.service.name == "s3":
        # S3 alone leaves the wrapper out.
        out = _xml_error(fault, typed=False)
        out.insert(-1, xml.text_element("RequestId", fault.request_id))
        return headers, "".join(out).encode()
    return headers, _error_response(fault)

"""From a result, or an error, to the HTTP response of the request's protocol.

Each operation and protocol is compiled once into a plan, kept with the operation. Errors are rendered from their code
alone: the model says status, members and how the code is spelled; what no model has (ValidationException of Lambda, an
operation that is not there) follows the table below.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from lambent.core.errors import ModelledError
from lambent.wire import bindings, cbor, eventstream, jsonform, xml
from lambent.wire.call import Reply
from lambent.wire.catalog import Member, Operation, Protocol, Service, Shape
from lambent.wire.http import HttpResponse
from lambent.wire.routes import Routed, UnknownOperation, Unrouted

Headers = list[tuple[str, str]]
Plan = Callable[[Mapping[str, Any], str], tuple[int, Headers, bytes]]

_BODILESS = (204, 205, 304)

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


def respond(routed: Routed, reply: Mapping[str, Any] | Reply, request_id: str) -> HttpResponse:
    """The response for a result. A Reply's own headers and status win over those of the model."""
    operation, protocol = routed.operation, routed.protocol
    plan: Plan | None = operation.plans.get(("respond", protocol))
    if plan is None:
        plan = operation.plans["respond", protocol] = _plan(operation, protocol)
    if type(reply) is not Reply:
        assert not isinstance(reply, Reply)
        status, headers, body = plan(reply, request_id)
    else:
        status, headers, body = plan(reply.result, request_id)
        if reply.headers:
            own = {name.lower() for name, _ in reply.headers}
            headers = [header for header in headers if header[0].lower() not in own]
            headers.extend(reply.headers)
        if reply.status is not None:
            status = reply.status
    headers.append((_request_id_header(operation.service), request_id))
    if status in _BODILESS:
        headers = [header for header in headers if header[0] != "Content-Type"]
        body = b""
    return HttpResponse(status, tuple(headers), body)


def _request_id_header(service: Service | None) -> str:
    return "x-amz-request-id" if service is not None and service.name == "s3" else "x-amzn-RequestId"


def _plan(operation: Operation, protocol: Protocol) -> Plan:
    match protocol:
        case Protocol.JSON:
            return _json_plan(operation)
        case Protocol.CBOR:
            return _cbor_plan(operation)
        case Protocol.QUERY:
            return _query_plan(operation)
        case Protocol.REST_JSON | Protocol.REST_XML:
            return _rest_plan(operation, protocol)


def _json_plan(operation: Operation) -> Plan:
    content_type = ("Content-Type", f"application/x-amz-json-{operation.service.json_version}")
    shape, status = operation.output, operation.status
    if shape is None:
        return lambda _result, _request_id: (status, [content_type], b"")
    stream = _stream_member(shape)
    if stream is not None:
        return _stream_plan(operation, stream, Protocol.JSON)
    write = jsonform.Writers().shape(shape)
    assert write is not None
    return lambda result, _request_id: (status, [content_type], jsonform.encode(write(result)))


def _cbor_plan(operation: Operation) -> Plan:
    marker, content_type = ("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor")
    shape, status = operation.output, operation.status
    if shape is None:
        return lambda _result, _request_id: (status, [marker], b"")
    write = cbor.writers().of(shape)
    return lambda result, _request_id: (status, [marker, content_type], cbor.encode(write(result)))


def _query_plan(operation: Operation) -> Plan:
    service, shape, status = operation.service, operation.output, operation.status
    root = f"{operation.name}Response"
    namespace = xml.namespace_text(service.xml_namespace)
    wrapper = operation.result_wrapper or f"{operation.name}Result"
    write = None if shape is None else xml.Writers().content(shape)

    def plan(result: Mapping[str, Any], request_id: str) -> tuple[int, Headers, bytes]:
        out = [f"<{root}{namespace}>"]
        if write is not None:
            out.append(f"<{wrapper}>")
            write(out, result)
            out.append(f"</{wrapper}>")
        out.append(f"<ResponseMetadata>{xml.text_element('RequestId', request_id)}</ResponseMetadata></{root}>")
        return status, [("Content-Type", "text/xml")], "".join(out).encode()

    return plan


def _rest_plan(operation: Operation, protocol: Protocol) -> Plan:
    shape, status = operation.output, operation.status
    if shape is None:
        return lambda _result, _request_id: (status, [], b"")
    stream = _stream_member(shape)
    if stream is not None:
        return _stream_plan(operation, stream, protocol)
    bound = bindings.outputs(shape)
    status_name = bound.status
    content_type, write = _rest_body(shape, bound, protocol)

    def plan(result: Mapping[str, Any], _request_id: str) -> tuple[int, Headers, bytes]:
        body = write(result)
        headers: Headers = [content_type] if body is not None and content_type is not None else []
        bound.write(result, headers)
        given = None if status_name is None else result.get(status_name)
        # A header of the model that is Content-Type itself replaces the one of the body's form.
        if len(headers) > 1 and any(name.lower() == "content-type" for name, _ in headers[1:]):
            del headers[0]
        return given or status, headers, body or b""

    return plan


Body = Callable[[Mapping[str, Any]], bytes | None]


def _rest_body(shape: Shape, bound: bindings.Outputs, protocol: Protocol) -> tuple[tuple[str, str] | None, Body]:
    """The content type of a REST operation's body, and how to write it; None is written where there is none."""
    json = protocol is Protocol.REST_JSON
    structured = ("Content-Type", "application/json" if json else "application/xml")
    if bound.payload is not None:
        kind = bound.payload.shape.type
        if kind in ("blob", "string"):
            text = kind == "string"
            return ("Content-Type", "text/plain" if text else "application/octet-stream"), _raw(bound.payload.name)
        return structured, _payload(bound.payload, json)
    if json:
        write_json = jsonform.Writers().structure(bound.body)
        return structured, lambda result: jsonform.encode(write_json(result))
    if not bound.body:
        return None, lambda _result: None
    return structured, _xml_document(shape.location_name or shape.name, shape.xml_namespace, bound.body)


def _raw(name: str) -> Body:
    def write(result: Mapping[str, Any]) -> bytes | None:
        value = result.get(name)
        return value.encode() if isinstance(value, str) else value

    return write


def _payload(member: Member, json: bool) -> Body:
    shape, name = member.shape, member.name
    if json or shape.document:
        convert = jsonform.Writers().shape(shape)

        def write_json(result: Mapping[str, Any]) -> bytes | None:
            value = result.get(name)
            if value is None:
                return None
            return jsonform.encode(value if convert is None else convert(value))

        return write_json
    write_element = xml.Writers().of(member)
    root = shape.location_name or member.location_name or shape.name

    def write_xml(result: Mapping[str, Any]) -> bytes | None:
        value = result.get(name)
        if value is None:
            return None
        out: list[str] = []
        write_element(out, root, value)
        return "".join(out).encode()

    return write_xml


def _xml_document(root: str, namespace: tuple[str, str] | None, members: tuple[Member, ...]) -> Body:
    writers = xml.Writers()
    write = writers.element(members, xml.namespace_text(namespace), writers.members(members))

    def document(result: Mapping[str, Any]) -> bytes:
        out: list[str] = []
        write(out, root, result)
        return "".join(out).encode()

    return document


def _stream_member(shape: Shape) -> Member | None:
    for member in shape.members.values():
        if member.shape.eventstream:
            return member
    return None


def _stream_plan(operation: Operation, stream: Member, protocol: Protocol) -> Plan:
    """A finished list of events as a body; what comes bit by bit is framed with `event` by whoever sends it."""
    assert operation.output is not None
    bound = bindings.outputs(operation.output)

    def plan(result: Mapping[str, Any], _request_id: str) -> tuple[int, Headers, bytes]:
        headers: Headers = [("Content-Type", eventstream.CONTENT_TYPE)]
        bound.write(result, headers)
        events: Iterable[Mapping[str, Any]] = result.get(stream.name) or ()
        given = None if bound.status is None else result.get(bound.status)
        return given or operation.status, headers, b"".join(event(stream.shape, item, protocol) for item in events)

    return plan


def event(stream: Shape, item: Mapping[str, Any], protocol: Protocol) -> bytes:
    """One framed event of an event-stream shape: `{"PayloadChunk": {"Payload": b"..."}}`."""
    ((name, value),) = item.items()
    shape = stream.members[name].shape
    kind = ("exception", ":exception-type") if shape.exception else ("event", ":event-type")
    headers: dict[str, eventstream.Header] = {":message-type": kind[0], kind[1]: name}
    payload: bytes | None = None
    rest: list[Member] = []
    for member in shape.members.values():
        given = value.get(member.name)
        if member.event_header:
            if given is not None:
                headers[member.name] = _event_header(member, given)
        elif member.event_payload and member.shape.type in ("blob", "string"):
            text = member.shape.type == "string"
            headers[":content-type"] = "text/plain" if text else "application/octet-stream"
            payload = b"" if given is None else given.encode() if isinstance(given, str) else given
        elif member.event_payload:
            rest = list(member.shape.members.values())
            value = given or {}
        else:
            rest.append(member)
    if payload is None:
        headers[":content-type"] = "application/cbor" if protocol is Protocol.CBOR else "application/json"
        payload = _event_document(shape, tuple(rest), value, protocol, headers)
    return eventstream.encode(eventstream.Message(headers, payload))


def _event_document(
    shape: Shape, members: tuple[Member, ...], value: Any, protocol: Protocol, headers: dict[str, eventstream.Header]
) -> bytes:
    if protocol is Protocol.CBOR:
        converters = cbor.writers()
        found = ((member, value.get(member.name)) for member in members)
        return cbor.encode({m.name: converters.of(m.shape)(item) for m, item in found if item is not None})
    if protocol is Protocol.REST_XML:
        headers[":content-type"] = "application/xml"
        return _xml_document(shape.location_name or shape.name, shape.xml_namespace, members)(value) or b""
    return jsonform.encode(jsonform.Writers().structure(members)(value))


def _event_header(member: Member, value: Any) -> eventstream.Header:
    match member.shape.type:
        case "byte":
            return eventstream.Byte(value)
        case "short":
            return eventstream.Short(value)
        case "long":
            return eventstream.Long(value)
        case _:
            header: eventstream.Header = value
            return header


def fail(routed: Routed | None, error: ModelledError, request_id: str) -> HttpResponse:
    """The response for an error. Without a route, an `Unrouted` error tells service and protocol itself."""
    service = routed.service if routed is not None else None
    protocol = routed.protocol if routed is not None else None
    if isinstance(error, Unrouted):
        service, protocol = error.service, error.protocol
    shape = None if service is None else service.error(error.code)
    status = _status(error, shape)
    if service is not None and service.query_compatible and protocol is not Protocol.QUERY:
        # Such a model's statuses are those of the query protocol that the service once spoke.
        status = 500 if status >= 500 else 400
    request_id_header = (_request_id_header(service), request_id)
    match protocol:
        case Protocol.JSON:
            headers, body = _json_fault(service, shape, error)
        case Protocol.CBOR:
            headers, body = _cbor_fault(service, shape, error)
        case Protocol.QUERY:
            headers, body = _query_fault(service, shape, error, request_id)
            status = 400 if isinstance(error, UnknownOperation) else status
        case Protocol.REST_XML:
            headers, body = _rest_xml_fault(service, shape, error, request_id)
        case Protocol.REST_JSON | None:
            headers, body = _rest_json_fault(shape, error)
    if protocol is Protocol.JSON and isinstance(error, UnknownOperation):
        status = 400
    return HttpResponse(status, (*headers, request_id_header), body)


def _status(error: ModelledError, shape: Shape | None) -> int:
    if shape is None:
        if isinstance(error, UnknownOperation):
            return 404
        return _UNMODELLED_STATUS.get(error.code, 500 if error.fault == "Service" else 400)
    if shape.error is not None and shape.error.status is not None:
        return shape.error.status
    return 500 if shape.fault else 400


def _content(error: ModelledError, shape: Shape | None) -> dict[str, Any]:
    """The members of an error by the names of its shape: the message under the name that the model gives it."""
    members: dict[str, Any] = dict(error.members)
    message_name = "message"
    if shape is not None:
        members = {name: value for name, value in members.items() if name in shape.members}
        message_name = next((name for name in shape.members if name.lower() == "message"), "message")
    if error.message is not None:
        members[message_name] = error.message
    return {name: value for name, value in members.items() if value is not None}


@lru_cache(maxsize=512)
def _error_writer(shape: Shape, rest: bool) -> tuple[bindings.Outputs, Callable[[Any], dict[str, Any]]]:
    bound = bindings.outputs(shape)
    return bound, jsonform.Writers().structure(bound.body if rest else tuple(shape.members.values()))


def _json_content(error: ModelledError, shape: Shape | None, rest: bool, headers: Headers) -> dict[str, Any]:
    content = _content(error, shape)
    if shape is None:
        if not rest:
            content.pop("Type", None)
        return content
    bound, write = _error_writer(shape, rest)
    if rest:
        bound.write(content, headers)
    written = write(content)
    # Errors that the model leaves without members have a message all the same.
    for name, value in content.items():
        if name not in shape.members:
            written[name] = value
    return written


def _rest_json_fault(shape: Shape | None, error: ModelledError) -> tuple[Headers, bytes]:
    code = error.code if shape is None else shape.name
    if isinstance(error, UnknownOperation):
        return [("x-amzn-ErrorType", code)], b"<UnknownOperationException/>\n"
    headers: Headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
    return headers, jsonform.encode(_json_content(error, shape, True, headers))


def _query_code(error: ModelledError, shape: Shape | None) -> str:
    """The code of the query protocol, which models may spell unlike the shape's name."""
    if isinstance(error, UnknownOperation):
        return "InvalidAction"
    if shape is None:
        return "InternalFailure" if error.code == "ServiceException" else error.code
    return (shape.error and shape.error.code) or shape.name


def _is_sender(error: ModelledError, shape: Shape | None) -> bool:
    if shape is None or shape.error is None:
        return error.fault != "Service" and not (shape is not None and shape.fault)
    return shape.error.sender or (shape.error.status or 400) < 500


def _query_compatible(service: Service | None, shape: Shape | None, error: ModelledError, headers: Headers) -> None:
    if service is not None and service.query_compatible:
        side = "Sender" if _is_sender(error, shape) else "Receiver"
        headers.append(("x-amzn-query-error", f"{_query_code(error, shape)};{side}"))


def _json_fault(service: Service | None, shape: Shape | None, error: ModelledError) -> tuple[Headers, bytes]:
    version = "1.0" if service is None else service.json_version
    headers: Headers = [("Content-Type", f"application/x-amz-json-{version}")]
    _query_compatible(service, shape, error, headers)
    code = error.code if shape is None else shape.name
    return headers, jsonform.encode({"__type": code, **_json_content(error, shape, False, headers)})


def _cbor_fault(service: Service | None, shape: Shape | None, error: ModelledError) -> tuple[Headers, bytes]:
    headers: Headers = [("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor")]
    _query_compatible(service, shape, error, headers)
    content = _content(error, shape)
    if shape is None:
        content.pop("Type", None)
    else:
        content = {**content, **cbor.writers().of(shape)(content)}
    code = error.code if shape is None else shape.name
    return headers, cbor.encode({"__type": code, **content})


def _xml_error(error: ModelledError, shape: Shape | None, with_type: bool) -> list[str]:
    """The `Error` element: Type, Code and Message, then the members of the shape that are none of these."""
    out = ["<Error>"]
    if with_type:
        out.append(xml.text_element("Type", "Sender" if _is_sender(error, shape) else "Receiver"))
    out.append(xml.text_element("Code", _query_code(error, shape)))
    if error.message is not None:
        out.append(xml.text_element("Message", error.message))
    if shape is not None:
        others = tuple(
            member for member in bindings.outputs(shape).body if member.name.lower() not in ("message", "type", "code")
        )
        xml.Writers().members(others)(out, error.members)
    out.append("</Error>")
    return out


def _query_fault(
    service: Service | None, shape: Shape | None, error: ModelledError, request_id: str
) -> tuple[Headers, bytes]:
    namespace = "" if service is None else xml.namespace_text(service.xml_namespace)
    inner = "".join(_xml_error(error, shape, with_type=True))
    body = f"<ErrorResponse{namespace}>{inner}{xml.text_element('RequestId', request_id)}</ErrorResponse>"
    return [("Content-Type", "text/xml")], body.encode()


def _rest_xml_fault(
    service: Service | None, shape: Shape | None, error: ModelledError, request_id: str
) -> tuple[Headers, bytes]:
    headers: Headers = [("Content-Type", "application/xml")]
    if shape is not None:
        bindings.outputs(shape).write(error.members, headers)
    request = xml.text_element("RequestId", request_id)
    if service is not None and service.name == "s3":
        # S3 alone leaves the wrapper out.
        out = _xml_error(error, shape, with_type=False)
        out.insert(-1, request)
        return headers, "".join(out).encode()
    namespace = "" if service is None else xml.namespace_text(service.xml_namespace)
    inner = "".join(_xml_error(error, shape, with_type=True))
    return headers, f"<ErrorResponse{namespace}>{inner}{request}</ErrorResponse>".encode()

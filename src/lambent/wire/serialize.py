"""From a result to the HTTP response of the request's protocol.

Each operation and protocol is compiled once into a plan, kept with the operation. Errors are in `faults`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lambent.wire import bindings, cbor, eventstream, jsonform, xml
from lambent.wire.call import Reply
from lambent.wire.catalog import Member, Operation, Protocol, Shape
from lambent.wire.faults import fail, request_id_header
from lambent.wire.http import HttpResponse
from lambent.wire.routes import Routed

__all__ = ["event", "fail", "respond"]

Headers = dict[str, str]
Plan = Callable[[Mapping[str, Any], str], tuple[int, Headers, bytes]]

_BODILESS = (204, 205, 304)


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
            headers.update(reply.headers)
        if reply.status is not None:
            status = reply.status
    headers[request_id_header(operation.service)] = request_id
    if status in _BODILESS:
        headers.pop("Content-Type", None)
        body = b""
    return HttpResponse(status, tuple(headers.items()), body)


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
    content_type = f"application/x-amz-json-{operation.service.json_version}"
    shape, status = operation.output, operation.status
    if shape is None:
        return lambda _result, _request_id: (status, {"Content-Type": content_type}, b"")
    stream = _stream_member(shape)
    if stream is not None:
        return _stream_plan(operation, stream, Protocol.JSON)
    write = jsonform.Writers().shape(shape)
    assert write is not None
    return lambda result, _request_id: (status, {"Content-Type": content_type}, jsonform.encode(write(result)))


def _cbor_plan(operation: Operation) -> Plan:
    marker = {"smithy-protocol": "rpc-v2-cbor"}
    shape, status = operation.output, operation.status
    if shape is None:
        return lambda _result, _request_id: (status, {**marker}, b"")
    write = cbor.writers().of(shape)
    return lambda result, _request_id: (
        status,
        {**marker, "Content-Type": "application/cbor"},
        cbor.encode(write(result)),
    )


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
        return status, {"Content-Type": "text/xml"}, "".join(out).encode()

    return plan


def _rest_plan(operation: Operation, protocol: Protocol) -> Plan:
    shape, status = operation.output, operation.status
    if shape is None:
        return lambda _result, _request_id: (status, {}, b"")
    stream = _stream_member(shape)
    if stream is not None:
        return _stream_plan(operation, stream, protocol)
    bound = bindings.outputs(shape)
    status_name = bound.status
    tells_type = any(name.lower() == "content-type" for _, name, _ in bound.headers)
    content_type, write = _rest_body(shape, bound, protocol)

    def plan(result: Mapping[str, Any], _request_id: str) -> tuple[int, Headers, bytes]:
        body = write(result)
        headers: Headers = {}
        bound.write(result, headers)
        given = None if status_name is None else result.get(status_name)
        # A header of the model that is Content-Type itself stands in place of the one of the body's form.
        if body is not None and content_type is not None and not (tells_type and _tells_type(headers)):
            headers = {"Content-Type": content_type, **headers}
        return given or status, headers, body or b""

    return plan


def _tells_type(headers: Headers) -> bool:
    return any(name.lower() == "content-type" for name in headers)


Body = Callable[[Mapping[str, Any]], bytes | None]


def _rest_body(shape: Shape, bound: bindings.Outputs, protocol: Protocol) -> tuple[str | None, Body]:
    """The content type of a REST operation's body, and how to write it; None is written where there is none."""
    json = protocol is Protocol.REST_JSON
    structured = "application/json" if json else "application/xml"
    if bound.payload is not None:
        kind = bound.payload.shape.type
        if kind in ("blob", "string"):
            text = kind == "string"
            return "text/plain" if text else "application/octet-stream", _raw(bound.payload.name)
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
        headers: Headers = {"Content-Type": eventstream.CONTENT_TYPE}
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

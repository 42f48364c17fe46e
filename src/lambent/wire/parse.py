"""From an HTTP request to the parameters of its operation.

Each operation and protocol is compiled once into a plan, kept with the operation. Malformed input raises
SerializationException and nothing else; whether the parameters keep the model's constraints is `validate`'s concern.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lambent.wire import bindings, cbor, jsonform, queryform, xml
from lambent.wire.catalog import Operation, Protocol, Shape
from lambent.wire.http import HttpRequest
from lambent.wire.malformed import SerializationException
from lambent.wire.routes import Routed

Plan = Callable[[Mapping[str, str], HttpRequest], dict[str, Any]]


def parse(routed: Routed, request: HttpRequest) -> dict[str, Any]:
    """The parameters by the names of the input shape: timestamps as aware datetimes, blobs as bytes.

    Raises SerializationException.
    """
    operation = routed.operation
    plan = operation.plans.get(("parse", routed.protocol))
    if plan is None:
        plan = operation.plans["parse", routed.protocol] = _plan(operation, routed.protocol)
    try:
        params: dict[str, Any] = plan(routed.labels, request)
    except RecursionError as error:
        raise SerializationException("The request is nested too deeply") from error
    return params


def _nothing(_labels: Mapping[str, str], _request: HttpRequest) -> dict[str, Any]:
    return {}


def _plan(operation: Operation, protocol: Protocol) -> Plan:
    shape = operation.input
    if shape is None:
        return _nothing
    match protocol:
        case Protocol.JSON:
            return _whole_body(jsonform.decode, jsonform.Readers().of(shape))
        case Protocol.CBOR:
            return _whole_body(cbor.decode, cbor.readers().of(shape))
        case Protocol.QUERY:
            read = queryform.Readers().structure(shape)
            return lambda _labels, request: read(queryform.tree(request))
        case Protocol.REST_JSON | Protocol.REST_XML:
            return _rest(shape, protocol)


def _whole_body(decode: Callable[[bytes], Any], read: Callable[[Any], Any]) -> Plan:
    def plan(_labels: Mapping[str, str], request: HttpRequest) -> dict[str, Any]:
        if not request.body:
            return {}
        params: dict[str, Any] = read(decode(request.body))
        return params

    return plan


def _rest(shape: Shape, protocol: Protocol) -> Plan:
    bound = bindings.inputs(shape)
    if bound.payload is not None:
        read_payload = _payload(bound.payload.shape, protocol)
        payload_name = bound.payload.name

        def with_payload(labels: Mapping[str, str], request: HttpRequest) -> dict[str, Any]:
            params: dict[str, Any] = {}
            bound.read(labels, request, params)
            if request.body:
                params[payload_name] = read_payload(request.body)
            return params

        return with_payload
    if bound.body:
        read_body = _body(shape, bound, protocol)

        def with_body(labels: Mapping[str, str], request: HttpRequest) -> dict[str, Any]:
            params: dict[str, Any] = read_body(request.body) if request.body else {}
            bound.read(labels, request, params)
            return params

        return with_body

    def without_body(labels: Mapping[str, str], request: HttpRequest) -> dict[str, Any]:
        params: dict[str, Any] = {}
        bound.read(labels, request, params)
        return params

    return without_body


def _body(shape: Shape, bound: bindings.Inputs, protocol: Protocol) -> Callable[[bytes], dict[str, Any]]:
    if protocol is Protocol.REST_JSON:
        read_json = jsonform.Readers().structure(bound.body, shape.union)
        return lambda body: read_json(jsonform.decode(body))
    read_xml = xml.Readers().members(bound.body)
    return lambda body: read_xml(xml.read(body))


def _payload(shape: Shape, protocol: Protocol) -> Callable[[bytes], Any]:
    if shape.type == "blob":
        return bytes
    if shape.type == "string":
        return _text
    if protocol is Protocol.REST_JSON or shape.document:
        read_json = jsonform.Readers().of(shape)
        return lambda body: read_json(jsonform.decode(body))
    read_xml = xml.Readers().structure(shape)
    return lambda body: read_xml(xml.read(body))


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise SerializationException("The body is not UTF-8") from error

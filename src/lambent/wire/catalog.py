"""The service models: what operations a service has, and the shapes of their inputs, outputs and errors.

Models are botocore's (`botocore/data/SERVICE/VERSION/service-2.json.gz`), read as files: importing botocore would cost
start-up time and memory that the server has no use for. A model is decoded once, without its documentation; shapes are
built when an operation is first asked for. Everything here is plain data: how it travels is in the modules of the
protocols. See `routes` for who chooses an operation, `parse`, `validate` and `serialize` for what is done with one.
"""

import gzip
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from lambent.core.record import Record


class Protocol(StrEnum):
    """The protocols of the models, by the names that the models give them."""

    REST_JSON = "rest-json"
    JSON = "json"
    QUERY = "query"
    REST_XML = "rest-xml"
    CBOR = "smithy-rpc-v2-cbor"


class ErrorTrait(Record, frozen=True):
    """How an error shape is answered: `code` where it differs from the shape's name, `status` where the model says."""

    code: str | None
    status: int | None
    sender: bool


class Shape(Record, frozen=True, eq=False, gc=True):
    """A type of the model. Lists have one member, `member`; maps have `key` and `value`."""

    name: str
    type: str
    members: dict[str, "Member"]
    required: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    payload: str | None = None
    location_name: str | None = None
    flattened: bool = False
    streaming: bool = False
    timestamp_format: str | None = None
    xml_namespace: tuple[str, str] | None = None
    sensitive: bool = False
    document: bool = False
    union: bool = False
    eventstream: bool = False
    exception: bool = False
    fault: bool = False
    error: ErrorTrait | None = None


class Member(Record, frozen=True, eq=False, gc=True):
    """A use of a shape. `location_name` is its name on the wire; `xml_namespace` is a prefix (or "") and a URI."""

    name: str
    shape: Shape
    location: str | None = None
    location_name: str | None = None
    flattened: bool = False
    timestamp_format: str | None = None
    xml_namespace: tuple[str, str] | None = None
    xml_attribute: bool = False
    jsonvalue: bool = False
    event_header: bool = False
    event_payload: bool = False

    @property
    def wire_name(self) -> str:
        return self.location_name or self.name


class Operation(Record, frozen=True, eq=False, gc=True):
    """One operation. `plans` keeps what the protocols compiled for it, so that a request only looks it up."""

    name: str
    service: "Service"
    method: str
    uri: str
    status: int
    input: Shape | None
    output: Shape | None
    result_wrapper: str | None
    errors: tuple[Shape, ...]
    plans: dict[tuple[str, str], Any] = msgspec.field(default_factory=dict)


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    api_version: str = ""
    endpoint_prefix: str = ""
    signing_name: str = ""
    protocol: str = ""
    protocols: list[str] = []
    target_prefix: str = ""
    json_version: str = "1.0"
    xml_namespace: Any = None
    aws_query_compatible: Any = None


class _Http(msgspec.Struct, rename="camel", gc=False):
    method: str = "POST"
    request_uri: str = "/"
    response_code: int = 200


class _Reference(msgspec.Struct, rename="camel", gc=False):
    shape: str
    location: str | None = None
    location_name: str | None = None
    flattened: bool = False
    timestamp_format: str | None = None
    xml_namespace: Any = None
    xml_attribute: bool = False
    jsonvalue: bool = False
    eventheader: bool = False
    eventpayload: bool = False
    result_wrapper: str | None = None


class _Error(msgspec.Struct, rename="camel", gc=False):
    code: str | None = None
    http_status_code: int | None = None
    sender_fault: bool = False


class _Shape(msgspec.Struct, rename="camel", gc=False):
    type: str
    members: dict[str, _Reference] | None = None
    member: _Reference | None = None
    key: _Reference | None = None
    value: _Reference | None = None
    required: tuple[str, ...] = ()
    min: float | int | None = None
    max: float | int | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    payload: str | None = None
    location_name: str | None = None
    flattened: bool = False
    streaming: bool = False
    timestamp_format: str | None = None
    xml_namespace: Any = None
    sensitive: bool = False
    document: bool = False
    union: bool = False
    eventstream: bool = False
    exception: bool = False
    fault: bool = False
    error: _Error | None = None


class _Operation(msgspec.Struct, gc=False):
    name: str
    http: _Http
    input: _Reference | None = None
    output: _Reference | None = None
    errors: list[_Reference] = []


class _Model(msgspec.Struct):
    metadata: _Metadata
    operations: dict[str, _Operation]
    shapes: dict[str, _Shape]


class Operations(Mapping[str, Operation]):
    """A service's operations by name, each built when first asked for."""

    def __init__(self, service: "Service", model: _Model) -> None:
        self._service = service
        self._model = model
        self._built: dict[str, Operation] = {}
        self._shapes: dict[str, Shape] = {}

    def __getitem__(self, name: str) -> Operation:
        operation = self._built.get(name)
        if operation is None:
            operation = self._built[name] = self._build(self._model.operations[name])
        return operation

    def __iter__(self) -> Iterator[str]:
        return iter(self._model.operations)

    def __len__(self) -> int:
        return len(self._model.operations)

    def uris(self) -> Iterator[tuple[str, str, str]]:
        """Method, request URI and name of each operation, without building any."""
        for name, operation in self._model.operations.items():
            yield operation.http.method, operation.http.request_uri, name

    def shape(self, name: str) -> Shape:
        """The shape of that name. Raises KeyError."""
        built = self._shapes.get(name)
        if built is not None:
            return built
        raw = self._model.shapes[name]
        members: dict[str, Member] = {}
        error = raw.error
        # A shape can contain itself: it is known before its members are.
        shape = self._shapes[name] = Shape(
            name=name,
            type=raw.type,
            members=members,
            required=raw.required,
            minimum=raw.min,
            maximum=raw.max,
            pattern=raw.pattern,
            enum=raw.enum,
            payload=raw.payload,
            location_name=raw.location_name,
            flattened=raw.flattened,
            streaming=raw.streaming,
            timestamp_format=raw.timestamp_format,
            xml_namespace=_namespace(raw.xml_namespace),
            sensitive=raw.sensitive,
            document=raw.document,
            union=raw.union,
            eventstream=raw.eventstream,
            exception=raw.exception,
            fault=raw.fault,
            error=None if error is None else ErrorTrait(error.code, error.http_status_code, error.sender_fault),
        )
        parts = raw.members or {}
        for part_name, part in (("member", raw.member), ("key", raw.key), ("value", raw.value)):
            if part is not None:
                parts = {**parts, part_name: part}
        for member_name, reference in parts.items():
            members[member_name] = self._member(member_name, reference)
        return shape

    def error_shapes(self) -> Iterator[Shape]:
        for name, raw in self._model.shapes.items():
            if raw.exception or raw.error is not None:
                yield self.shape(name)

    def _member(self, name: str, reference: _Reference) -> Member:
        shape = self.shape(reference.shape)
        return Member(
            name=name,
            shape=shape,
            location=reference.location,
            location_name=reference.location_name,
            flattened=reference.flattened or shape.flattened,
            timestamp_format=reference.timestamp_format or shape.timestamp_format,
            xml_namespace=_namespace(reference.xml_namespace) or shape.xml_namespace,
            xml_attribute=reference.xml_attribute,
            jsonvalue=reference.jsonvalue,
            event_header=reference.eventheader,
            event_payload=reference.eventpayload,
        )

    def _build(self, raw: _Operation) -> Operation:
        return Operation(
            name=raw.name,
            service=self._service,
            method=raw.http.method,
            uri=raw.http.request_uri,
            status=raw.http.response_code,
            input=self._body(raw.input),
            output=self._body(raw.output),
            result_wrapper=None if raw.output is None else raw.output.result_wrapper,
            errors=tuple(self.shape(reference.shape) for reference in raw.errors),
        )

    def _body(self, reference: _Reference | None) -> Shape | None:
        """The shape of an input or output, with what the operation's reference adds to it (rest-xml names the root)."""
        if reference is None:
            return None
        shape = self.shape(reference.shape)
        namespace = _namespace(reference.xml_namespace)
        if reference.location_name is None and namespace is None:
            return shape
        return msgspec.structs.replace(
            shape,
            location_name=reference.location_name or shape.location_name,
            xml_namespace=namespace or shape.xml_namespace,
        )


class Service:
    """A service: its identity on the wire and its operations."""

    __slots__ = (
        "_errors",
        "api_version",
        "endpoint_prefix",
        "json_version",
        "name",
        "operations",
        "protocols",
        "query_compatible",
        "signing_name",
        "target_prefix",
        "xml_namespace",
    )

    def __init__(self, name: str, model: _Model) -> None:
        metadata = model.metadata
        self.name = name
        self.endpoint_prefix = metadata.endpoint_prefix
        self.signing_name = metadata.signing_name or metadata.endpoint_prefix
        self.target_prefix = metadata.target_prefix
        self.api_version = metadata.api_version
        self.json_version = metadata.json_version
        known = frozenset(Protocol)
        self.protocols = tuple(Protocol(p) for p in metadata.protocols or [metadata.protocol] if p in known)
        self.xml_namespace = _namespace(metadata.xml_namespace)
        self.query_compatible = metadata.aws_query_compatible is not None
        self.operations = Operations(self, model)
        self._errors: dict[str, Shape] | None = None

    def __repr__(self) -> str:
        return f"Service({self.name!r})"

    def error(self, code: str) -> Shape | None:
        """The error shape that a code names, by the shape's name or by the code that the shape has on the wire."""
        if self._errors is None:
            errors = {shape.name: shape for shape in self.operations.error_shapes()}
            self._errors = {shape.error.code: shape for shape in errors.values() if shape.error and shape.error.code}
            self._errors.update(errors)
        return self._errors.get(code)


def read(name: str, document: bytes) -> Service:
    """A service from a model's JSON text."""
    return Service(name, msgspec.json.decode(document, type=_Model))


@cache
def service(name: str) -> Service:
    """The service that botocore keeps under that name, in its newest version. Raises KeyError for one it has not."""
    versions = sorted(entry for entry in (_data_dir() / name).glob("*") if entry.is_dir())
    for version in reversed(versions):
        packed, plain = version / "service-2.json.gz", version / "service-2.json"
        if packed.exists():
            return read(name, gzip.decompress(packed.read_bytes()))
        if plain.exists():
            return read(name, plain.read_bytes())
    raise KeyError(name)


@cache
def _data_dir() -> Path:
    spec = find_spec("botocore")
    assert spec is not None, "botocore, a dependency of this package, is not installed"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "data"


def _namespace(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return ("", value)
    return (value.get("prefix", ""), value["uri"])

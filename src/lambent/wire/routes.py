"""Which operation of which service a request asks for, and in which protocol.

The service is chosen by the first of these that names one (docs/adr/0001-service-routing-precedence.md says why):

1. **Signature scope**: the service in the credential scope of `Authorization`, or of `X-Amz-Credential` in the query.
2. **Target**: the prefix of `X-Amz-Target`, or `/service/PREFIX/operation/...` of Smithy's RPC protocols.
3. **Host**: its first label, as in `lambda.eu-west-1.example.org`.
4. **Query version**: `Action` and `Version` in a form body or the query, which only one service has.
5. **Path**: the first service whose REST paths match.

A scope that several services share (their signing name is the same) leaves the choice among these to the next steps. A
scope that no service here has ends the search: what was signed for another service is not answered by this one.

Within the service the request shows its protocol: the header `smithy-protocol`, `X-Amz-Target`, an `Action`, else REST.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from lambent.core.errors import ModelledError
from lambent.core.record import Record
from lambent.wire.catalog import Operation, Protocol, Service, service
from lambent.wire.http import HttpRequest
from lambent.wire.paths import Match, PathTable

_CREDENTIAL_CHARS = 512
"""A key id has 128 at most, and a region and a service are short."""

_KNOWN = 4096
_KNOWN_CHARS = 512


class Scope(Record, frozen=True):
    """The credential scope of a signed request."""

    access_key_id: str
    date: str
    region: str
    signing_name: str


class Routed(Record, frozen=True):
    """Where a request goes. `labels` are the decoded parameters of its path; `scope` is None for unsigned requests."""

    service: Service
    protocol: Protocol
    operation: Operation
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    scope: Scope | None = None


class Unrouted(ModelledError):
    """No operation was found. `service` and `protocol` are what is known, for rendering the error."""

    code = "UnknownOperationException"

    def __init__(self, message: str | None, service: Service | None, protocol: Protocol | None) -> None:
        super().__init__(message)
        self.members = {}
        self.service = service
        self.protocol = protocol


class UnknownOperation(Unrouted):
    """The service has no such operation: UnknownOperationException, or InvalidAction in the query protocol."""

    @classmethod
    def at(cls, service: Service, protocol: Protocol, name: str | None) -> "UnknownOperation":
        message = None
        if protocol is Protocol.QUERY:
            message = f"Could not find operation {name} for version {service.api_version}"
        return cls(message, service, protocol)


class UnservedService(Unrouted):
    """The request is for a service that is not served here, or for none that could be told."""

    code = "NotImplementedException"


def scope_of(request: HttpRequest) -> Scope | None:
    """The credential scope that a request claims, unverified, or None where it is unsigned or not of AWS's form."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        start = authorization.find("Credential=")
        if start < 0:
            return None
        end = authorization.find(",", start)
        credential = authorization[start + 11 : end if end > 0 else None].strip()
    elif "X-Amz-Credential=" in request.query:
        start = request.query.find("X-Amz-Credential=")
        credential = unquote_plus(request.query[start + 17 :].partition("&")[0])
    else:
        return None
    return _read_scope(credential) if len(credential) <= _CREDENTIAL_CHARS else None


@lru_cache(maxsize=1024)
def _read_scope(credential: str) -> Scope | None:
    parts = credential.split("/")
    return Scope(parts[0], parts[1], parts[2], parts[3]) if len(parts) == 5 else None


@dataclass(slots=True)
class _Shown:
    """What a request shows beside its scope, worked out once."""

    target: tuple[str, str] | None
    smithy: tuple[str, str] | None
    form: dict[str, str] | None

    @property
    def protocol(self) -> Protocol | None:
        if self.smithy is not None:
            return Protocol.CBOR
        if self.target is not None:
            return Protocol.JSON
        return Protocol.QUERY if self.form is not None else None


def _shown(request: HttpRequest) -> _Shown:
    headers = request.headers
    smithy = None
    if headers.get("smithy-protocol") == "rpc-v2-cbor" or request.path.startswith("/service/"):
        parts = request.path.rsplit("/", 4)
        if len(parts) == 5 and parts[1] == "service" and parts[3] == "operation":
            smithy = (parts[2], parts[4])
    target = None
    given = headers.get("x-amz-target")
    if given is not None:
        prefix, _, name = given.rpartition(".")
        target = (prefix, name)
    form = None
    if "Action=" in request.query:
        form = _form(request.query)
    elif headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        # An Action is at the front of every client's body; a long document further on need not be read to find it.
        form = _form(request.body[:65536].decode("latin-1"))
    return _Shown(target, smithy, form)


def _form(text: str) -> dict[str, str] | None:
    fields = {name: value for name, value in parse_qsl(text, keep_blank_values=True) if name in ("Action", "Version")}
    return fields if "Action" in fields else None


class Router:
    """Routes requests to the operations of the named services."""

    def __init__(self, services: Iterable[str | Service]) -> None:
        self._services = tuple(service(item) if isinstance(item, str) else item for item in services)
        self._by_scope: dict[str, tuple[Service, ...]] = {}
        for item in self._services:
            assert item.protocols, f"{item.name} speaks no protocol that is served here"
            self._by_scope[item.signing_name] = (*self._by_scope.get(item.signing_name, ()), item)
        self._paths = {
            item: PathTable(item.operations.uris())
            for item in self._services
            if Protocol.REST_JSON in item.protocols or Protocol.REST_XML in item.protocols
        }
        self._known: dict[tuple[str, str, str, Scope], Routed] = {}
        """What was routed by scope and path alone lately: the same few come again and again."""

    def route(self, request: HttpRequest) -> Routed:
        """Where the request goes. Raises UnknownOperation or UnservedService, both of them `Unrouted`."""
        scope = scope_of(request)
        if scope is not None:
            known = self._known.get((request.method, request.path, request.query, scope))
            if known is not None:
                return known
            candidates = self._by_scope.get(scope.signing_name, ())
            if len(candidates) == 1:
                paths = self._paths.get(candidates[0])
                if paths is not None and len(candidates[0].protocols) == 1:
                    # The way of every Invoke: one REST service, nothing more to find out.
                    return self._remember(request, scope, self._rest(candidates[0], paths, request, scope))
        else:
            candidates = self._services
        shown = _shown(request)
        if not candidates:
            assert scope is not None
            raise UnservedService(_unserved(f"the service {scope.signing_name!r}"), None, shown.protocol)
        chosen = candidates[0] if len(candidates) == 1 else self._choose(candidates, request, shown)
        if chosen is None:
            raise UnservedService(_unserved("a service that this request names"), None, shown.protocol)
        return self._within(chosen, request, shown, scope)

    def _remember(self, request: HttpRequest, scope: Scope, routed: Routed) -> Routed:
        if len(request.path) + len(request.query) <= _KNOWN_CHARS:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[request.method, request.path, request.query, scope] = routed
        return routed

    def _choose(self, candidates: tuple[Service, ...], request: HttpRequest, shown: _Shown) -> Service | None:
        named = shown.smithy or shown.target
        if named is not None:
            for item in candidates:
                if item.target_prefix == named[0]:
                    return item
        host = request.headers.get("host", "").partition(".")
        if host[1]:
            for item in candidates:
                if item.endpoint_prefix == host[0]:
                    return item
        if shown.form is not None:
            version = shown.form.get("Version")
            for item in candidates:
                if item.api_version == version and shown.form["Action"] in item.operations:
                    return item
        for item in candidates:
            if item in self._paths and self._match(item, request) is not None:
                return item
        return None

    def _match(self, item: Service, request: HttpRequest) -> Match | None:
        try:
            return self._paths[item].match(request.method, request.path, request.query)
        except UnicodeDecodeError:
            return None

    def _rest(self, item: Service, paths: PathTable, request: HttpRequest, scope: Scope | None) -> Routed:
        protocol = Protocol.REST_JSON if Protocol.REST_JSON in item.protocols else Protocol.REST_XML
        try:
            found = paths.match(request.method, request.path, request.query)
        except UnicodeDecodeError:
            found = None
        if found is None:
            raise UnknownOperation.at(item, protocol, None)
        return Routed(item, protocol, item.operations[found[0]], found[1], scope)

    def _within(self, item: Service, request: HttpRequest, shown: _Shown, scope: Scope | None) -> Routed:
        """The operation of a known service, by the protocol that the request shows and the service speaks."""
        name: str | None
        if shown.smithy is not None and Protocol.CBOR in item.protocols:
            protocol, name = Protocol.CBOR, shown.smithy[1]
        elif shown.target is not None and Protocol.JSON in item.protocols:
            protocol, name = Protocol.JSON, shown.target[1]
        elif shown.form is not None and Protocol.QUERY in item.protocols:
            protocol, name = Protocol.QUERY, shown.form["Action"]
        elif item in self._paths:
            return self._rest(item, self._paths[item], request, scope)
        else:
            protocol, name = item.protocols[0], None
        if name is None or name not in item.operations:
            raise UnknownOperation.at(item, protocol, name)
        return Routed(item, protocol, item.operations[name], {}, scope)


def _unserved(what: str) -> str:
    return f"Lambent does not serve {what}; docs/compatibility.md lists what it serves."

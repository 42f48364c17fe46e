"""The front door: every request passes here, from HTTP to an operation's handler and back.

Routes by the wire's rules, establishes the caller, parses, validates, calls, serialises. Wire names of errors are
attached here and nowhere else. Authentication comes in a later issue; its place is `caller_of`.
"""

import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from lambent.core.arn import partition_of
from lambent.core.errors import ModelledError, NotImplementedException, ServiceException
from lambent.identity.authentication import Identity
from lambent.wire.call import Call, Handler
from lambent.wire.http import HttpRequest, HttpResponse
from lambent.wire.parse import parse
from lambent.wire.routes import Router
from lambent.wire.serialize import fail, respond
from lambent.wire.validate import validate

_log = logging.getLogger(__name__)

INTERNAL_PREFIX = "/_lambent/"

InternalPage = Callable[[HttpRequest], Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """`handlers` by service and operation; `pages` are Lambent's own, by the first part of their path below
    `/_lambent/`."""

    router: Router
    identity: Identity
    handlers: Mapping[tuple[str, str], Handler]
    pages: Mapping[str, InternalPage]

    async def serve(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid.uuid4())
        routed = None
        try:
            if request.path.startswith(INTERNAL_PREFIX):
                page = self.pages.get(request.path[len(INTERNAL_PREFIX) :].partition("/")[0])
                return HttpResponse(404) if page is None else await page(request)
            routed = self.router.route(request)
            operation = routed.operation
            region = self.identity.region_of(request)
            params = parse(routed, request)
            validate(operation, params)
            handler = self._handler(routed.service.name, operation.name)
            call = Call(
                service=routed.service.name,
                operation=operation.name,
                params=params,
                caller=self.identity.caller_of(request),
                region=region,
                partition=partition_of(region),
                request_id=request_id,
                endpoint="http://" + request.headers.get("host", "localhost"),
                headers=request.headers,
            )
            return respond(routed, await handler(call), request_id)
        except ModelledError as error:
            return fail(routed, error, request_id)
        except Exception:  # noqa: BLE001 the boundary: a bug of ours must answer the caller, and be told once
            _log.exception("request failed", extra={"request_id": request_id, "path": request.path})
            return fail(routed, ServiceException("An internal error occurred."), request_id)

    def _handler(self, service: str, operation: str) -> Handler:
        handler = self.handlers.get((service, operation))
        if handler is None:
            raise NotImplementedException(f"{service}:{operation} is not built yet: see docs/compatibility.md.")
        return handler


def health_page(version: str) -> InternalPage:
    """`GET /_lambent/health`: answers while the server accepts requests."""
    began = time.monotonic()

    async def health(_request: HttpRequest) -> HttpResponse:
        body = json.dumps({"status": "ok", "version": version, "uptime_s": round(time.monotonic() - began, 3)})
        return HttpResponse(200, (("Content-Type", "application/json"),), body.encode())

    return health

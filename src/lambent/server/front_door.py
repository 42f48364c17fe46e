"""The front door: every request passes here, from HTTP to an operation's handler and back.

Routes by the wire's rules, establishes the caller, parses, validates, calls, serialises. Wire names of errors are
attached here and nowhere else. Authentication comes in a later issue; its place is `caller_of`.

A handler tells its result by a callback, and what has no need of a task has none: an invocation goes from the
client's socket to the function's, and back, in one turn of the event loop each. The other operations are coroutines;
`RequestTasks` makes handlers of them.
"""

import json
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from lambent.core.arn import partition_of
from lambent.core.errors import (
    ModelledError,
    NotImplementedException,
    RequestEntityTooLargeException,
    ServiceException,
)
from lambent.core.limits import REQUEST_BODY_BYTES
from lambent.identity.authentication import Identity
from lambent.server.http_protocol import Answer
from lambent.server.request_tasks import RequestTasks
from lambent.wire.call import Call, Handler, Result, Tell
from lambent.wire.http import HttpRequest, HttpResponse
from lambent.wire.parse import parse
from lambent.wire.routes import Routed, Router
from lambent.wire.serialize import fail, respond
from lambent.wire.validate import validate

_log = logging.getLogger(__name__)

INTERNAL_PREFIX = "/_lambent/"

InternalPage = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """`handlers` by service and operation; `pages` are Lambent's own, by the first part of their path below
    `/_lambent/`; `new_id` makes the ids of requests."""

    router: Router
    identity: Identity
    handlers: Mapping[tuple[str, str], Handler]
    pages: Mapping[str, InternalPage]
    tasks: RequestTasks
    new_id: Callable[[], str]

    def serve(self, request: HttpRequest, answer: Answer) -> None:
        request_id = self.new_id()
        routed = None
        try:
            if request.path.startswith(INTERNAL_PREFIX):
                self.tasks.run(self._page(request), partial(_tell_page, answer, request_id))
                return
            routed = self.router.route(request)
            region = self.identity.region_of(routed.scope)
            operation = routed.operation
            params = parse(routed, request)
            validate(operation, params)
            handler = self.handlers.get((routed.service.name, operation.name), _not_built)
            call = Call(
                service=routed.service.name,
                operation=operation.name,
                params=params,
                caller=self.identity.caller_of(routed.scope),
                region=region,
                partition=partition_of(region),
                request_id=request_id,
                endpoint="http://" + request.headers.get("host", "localhost"),
                headers=request.headers,
            )
            handler(call, partial(_tell, answer, routed, request_id))
        except Exception as error:  # noqa: BLE001 the boundary: see `_failure`
            answer(_failure(routed, error, request_id))

    def too_large(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request of which there is the head alone, since nobody may send as much. Source: observed
        answers of AWS."""
        request_id = self.new_id()
        try:
            routed = self.router.route(request)
        except Exception as error:  # noqa: BLE001 the boundary: see `_failure`
            return _failure(None, error, request_id)
        operation = routed.operation.name
        message = f"Request must be smaller than {REQUEST_BODY_BYTES} bytes for the {operation} operation"
        return fail(routed, RequestEntityTooLargeException(message), request_id)

    async def _page(self, request: HttpRequest) -> HttpResponse:
        page = self.pages.get(request.path[len(INTERNAL_PREFIX) :].partition("/")[0])
        return HttpResponse(404) if page is None else await page(request)


def _tell(answer: Answer, routed: Routed, request_id: str, result: Result | Exception) -> None:
    """The handler's result becomes the client's answer."""
    if isinstance(result, Exception):
        answer(_failure(routed, result, request_id))
        return
    try:
        response = respond(routed, result, request_id)
    except Exception as error:  # noqa: BLE001 the boundary: see `_failure`
        response = _failure(routed, error, request_id)
    answer(response)


def _tell_page(answer: Answer, request_id: str, result: HttpResponse | Exception) -> None:
    answer(result if isinstance(result, HttpResponse) else _failure(None, result, request_id))


def _failure(routed: Routed | None, error: Exception, request_id: str) -> HttpResponse:
    """What is not a modelled error is a bug of ours: the caller is answered all the same, and it is told once."""
    if not isinstance(error, ModelledError):
        operation = "" if routed is None else routed.operation.name
        _log.error("request failed", exc_info=error, extra={"request_id": request_id, "operation": operation})
        error = ServiceException("An internal error occurred.")
    return fail(routed, error, request_id)


def _not_built(call: Call, _tell: Tell) -> None:
    raise NotImplementedException(f"{call.service}:{call.operation} is not built yet: see docs/compatibility.md.")


def health_page(version: str) -> InternalPage:
    """`GET /_lambent/health`: answers while the server accepts requests."""
    began = time.monotonic()

    async def health(_request: HttpRequest) -> HttpResponse:
        body = json.dumps({"status": "ok", "version": version, "uptime_s": round(time.monotonic() - began, 3)})
        return HttpResponse(200, (("Content-Type", "application/json"),), body.encode())

    return health

"""The front door answers whatever happens behind it."""

import asyncio
from typing import Any

from lambent.identity.authentication import Identity
from lambent.identity.credentials import IssuedCredentials
from lambent.ids import RandomIds
from lambent.server.front_door import FrontDoor
from lambent.server.request_tasks import RequestTasks
from lambent.wire.http import HttpRequest, HttpResponse
from lambent.wire.routes import Router


def get(path: str, **pages: Any) -> HttpResponse:
    async def run() -> HttpResponse:
        answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        front = FrontDoor(
            router=Router(("lambda",)),
            identity=Identity(IssuedCredentials(), account="111122223333", region="us-east-1"),
            handlers={},
            pages=pages,
            tasks=RequestTasks(),
            new_id=RandomIds().uuid,
        )
        front.serve(HttpRequest("GET", path, "", {}), answered.set_result)
        return await answered

    return asyncio.run(run())


def test_a_page_that_fails_is_answered_and_its_connection_goes_on(caplog):
    async def broken(request):
        raise OSError("the disk is gone")

    assert get("/_lambent/code/x", code=broken).status == 500
    assert "request failed" in caplog.text


def test_a_page_that_does_not_exist_is_not_found():
    assert get("/_lambent/nothing").status == 404


def test_an_operation_that_is_not_built_says_so_and_names_the_page():
    answer = get("/2016-08-19/account-settings/")
    assert answer.status == 501
    assert b"docs/compatibility.md" in answer.body

"""`GET /_lambent/code/DIGEST`: a deployment package, for whoever holds a link that GetFunction gave."""

import asyncio
from urllib.parse import parse_qs

from lambent.clock import Clock
from lambent.control import code_links
from lambent.server.front_door import InternalPage
from lambent.store.packages import PackageStore
from lambent.wire.http import HttpRequest, HttpResponse

_FORBIDDEN = HttpResponse(403, (("Content-Type", "text/plain"),), b"The link is not valid, or has expired.\n")


def code_page(packages: PackageStore, secret: bytes, clock: Clock) -> InternalPage:
    async def code(request: HttpRequest) -> HttpResponse:
        digest = request.path.rpartition("/")[2]
        given = parse_qs(request.query)
        expires, signature = given.get("expires", [""])[0], given.get("signature", [""])[0]
        if not expires.isdigit() or not code_links.verify(secret, digest, expires, signature, clock.wall_ms()):
            return _FORBIDDEN
        archive = await asyncio.to_thread(_read, packages, digest)
        if archive is None:
            return HttpResponse(404)
        return HttpResponse(200, (("Content-Type", "application/zip"),), archive)

    return code


def _read(packages: PackageStore, digest: str) -> bytes | None:
    file = packages.open_archive(digest)
    if file is None:
        return None
    with file:
        return file.read()

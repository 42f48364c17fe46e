"""A call of an AWS operation, between the wire and whoever serves it.

`Operation` is what a package that answers an AWS API offers, one per operation:

```python
async def get_function(deps: Dependencies, call: Call) -> Mapping[str, Any]: ...
```

with the dependencies bound by `lambent.assembly`. The result is a mapping with the names of the operation's output
shape (timestamps as aware datetimes or epoch numbers, blobs as bytes); members that are absent or None are not sent.
`Handler` is what the front door calls: it tells the result, or the error, by a callback.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from lambent.core.caller import Caller
from lambent.core.record import Record


class Call(Record, frozen=True):
    """A parsed and validated request.

    `params` has the names and types of the operation's input shape. `endpoint` is the base URL by which the client
    reached us (`http://127.0.0.1:4566`). `headers` are the request's, lower-case names, for the few facts that no
    model names (such as `x-amzn-trace-id`).
    """

    service: str
    operation: str
    params: Mapping[str, Any]
    caller: Caller
    region: str
    partition: str
    request_id: str
    endpoint: str
    headers: Mapping[str, str]


class Reply(Record, frozen=True):
    """A result with headers that the model does not name, or a status other than the model's. A header replaces one
    of the model's that is spelled alike."""

    result: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()
    status: int | None = None


Result = Mapping[str, Any] | Reply
Operation = Callable[[Call], Coroutine[Any, Any, Result]]
Tell = Callable[[Result | Exception], None]
Handler = Callable[[Call, Tell], None]
"""Calls `Tell` once, now or later, with the result or what went wrong. May raise instead, before it has told."""

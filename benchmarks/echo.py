"""The function that is measured. It runs unchanged in Lambent and, by `echo_app`, behind uvicorn."""

from typing import Any


def handler(event: Any, _context: object) -> Any:
    return event

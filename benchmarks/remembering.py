"""A function that takes long to initialise and holds much afterwards. It takes as long as its event says, and tells
which environment it ran in."""

import time
from functools import cache
from uuid import uuid4

time.sleep(2)
HELD = [bytearray(b"x" * (1 << 20)) for _ in range(100)]


@cache
def environment() -> str:
    """Not before the first event, since what is known by then all that are restored have in common."""
    return uuid4().hex


def handler(event: float, _context: object) -> str:
    time.sleep(event)
    return environment()

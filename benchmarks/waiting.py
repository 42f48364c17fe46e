"""A function that takes as long as its event says, and tells which environment it ran in: calls of it at one time can
not share one. It runs in Lambent alone."""

import os
import time


def handler(event: float, _context: object) -> str:
    time.sleep(event)
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

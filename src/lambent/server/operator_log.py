"""The server's own log, on standard error: one line an event, its fields as `key=value`.

Functions' logs are data and take another path (`lambent.observe`).
"""

import logging

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = [f"{key}={value!r}" for key, value in vars(record).items() if key not in _PLAIN]
        if not fields:
            return line
        first, _, rest = line.partition("\n")
        return " ".join((first, *fields)) + (f"\n{rest}" if rest else "")


def configure(level: str) -> None:
    """Send the log to standard error, from the level up."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # What it sends and signs, which it tells when debugged, are payloads and nearly secrets.
    logging.getLogger("botocore").setLevel(logging.WARNING)

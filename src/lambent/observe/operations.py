"""The operations of the CloudWatch Logs API."""

from functools import partial

from lambent.observe import log_events, log_groups, log_streams
from lambent.observe.log_store import LogStore
from lambent.wire.call import Operation


def operations(logs: LogStore) -> dict[str, Operation]:
    """Operations by operation name, bound to the store."""
    by_name = {**log_groups.OPERATIONS, **log_streams.OPERATIONS, **log_events.OPERATIONS}
    return {name: partial(operation, logs) for name, operation in by_name.items()}

"""The operations of the Lambda API that the data plane answers."""

from functools import partial

from lambent.invoke.frontend import OPERATIONS, Frontend
from lambent.wire.call import Handler


def operations(frontend: Frontend) -> dict[str, Handler]:
    """Handlers by operation name, bound to their dependencies."""
    return {name: partial(operation, frontend) for name, operation in OPERATIONS.items()}

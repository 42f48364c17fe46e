"""The arithmetic of concurrency settings: what of an account's limit functions may claim for themselves.

Source: developer guide, "Configuring reserved concurrency for a function", and the texts of AWS's errors.
"""

from lambent.core.errors import InvalidParameterValueException
from lambent.core.limits import UNRESERVED_CONCURRENCY_MIN


def check_reservation(wanted: int, before: int, unreserved: int) -> None:
    """Whether a function may reserve so much, which claims `before` now, out of an account of which `unreserved` is
    claimed by nobody. What leaves others no less than they have is always possible, also in an account with a small
    limit: to stop a function, say. Raises InvalidParameterValueException."""
    if wanted > before and unreserved - (wanted - before) < UNRESERVED_CONCURRENCY_MIN:
        raise InvalidParameterValueException(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{UNRESERVED_CONCURRENCY_MIN}]."
        )

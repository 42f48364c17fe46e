"""The arithmetic of concurrency settings: what of an account's limit functions may claim for themselves.

A function claims what it has reserved, or, if that is nothing, what is provisioned for its versions. What leaves others
no less than they have is always possible, also in an account with a small limit: to stop a function, say.

Source: developer guide, "Configuring reserved concurrency for a function" and "Configuring provisioned concurrency for
a function", and the texts of AWS's errors.
"""

from lambent.core.errors import InvalidParameterValueException
from lambent.core.limits import UNRESERVED_CONCURRENCY_MIN


def check_reservation(wanted: int, reserved: int | None, *, provisioned: int, unreserved: int) -> None:
    """Whether a function may reserve so much, that has `reserved` now, of which `provisioned` is for its versions, out
    of an account of which `unreserved` is claimed by nobody. Raises InvalidParameterValueException."""
    if wanted < provisioned:
        error = InvalidParameterValueException(
            f" ReservedConcurrentExecutions  {wanted} should not be lower than function's total provisioned "
            f"concurrency [{provisioned}]."
        )
        # AWS sends this one without its type, and with these spaces.
        error.members.pop("Type")
        raise error
    before = provisioned if reserved is None else reserved
    if wanted > before and unreserved - (wanted - before) < UNRESERVED_CONCURRENCY_MIN:
        raise InvalidParameterValueException(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{UNRESERVED_CONCURRENCY_MIN}]."
        )


def check_provisioned(wanted: int, before: int, *, reserved: int | None, provisioned: int, unreserved: int) -> None:
    """Whether a version or alias that has `before` provisioned may have so much, in a function with `provisioned` in
    all. Raises InvalidParameterValueException."""
    if wanted <= before:
        return
    if reserved is not None:
        if provisioned - before + wanted > reserved:
            raise InvalidParameterValueException(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                "function"
            )
        return
    to_be_had = unreserved + before
    if wanted > to_be_had:
        raise InvalidParameterValueException(
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
            f"[{to_be_had}]."
        )
    if to_be_had - wanted < UNRESERVED_CONCURRENCY_MIN:
        raise InvalidParameterValueException(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            f"minimum value of [{UNRESERVED_CONCURRENCY_MIN}]."
        )

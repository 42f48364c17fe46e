"""What an invocation is charged for. Raw microseconds are kept in the ledger; this derives the billed value.

Source of the two steps: AWS Lambda billed in steps of 100 ms until November 2020, and of 1 ms since.
"""


def billed_ms(duration_us: int, init_us: int | None, step_ms: int, restore_us: int = 0) -> int:
    """Duration, and the initialisation or the hooks of the restoration when this invocation paid for them, rounded up
    to the tariff's step.

    Source: AWS compute blog, "AWS Lambda standardizes billing for INIT phase" (since August 2025); of the restoration:
    developer guide, "Monitoring for Lambda SnapStart".
    """
    step_us = step_ms * 1000
    return -(-(duration_us + (init_us or 0) + restore_us) // step_us) * step_ms

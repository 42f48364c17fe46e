"""Patterns of FilterCriteria: whether a text is a pattern that AWS takes. Pure.

A pattern is a JSON object. A field's value is a further object, or a list of the values that match: texts, numbers,
true, false, null, or a condition, an object with one operator. Source: developer guide, "Control which events Lambda
sends to your function", "Filter rule syntax".
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from lambent.core.limits import FILTER_LEVELS

_COMPARISONS = frozenset(("<", "<=", "=", ">", ">="))
_LEAST_ALTERNATIVES = 2


def is_pattern(text: str) -> bool:
    try:
        pattern = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return _is_object(pattern, FILTER_LEVELS)


def _is_object(pattern: object, levels: int) -> bool:
    if not isinstance(pattern, dict) or not pattern or levels == 0:
        return False
    return all(
        _is_or(value, levels) if field == "$or" else _is_field(value, levels) for field, value in pattern.items()
    )


def _is_or(alternatives: object, levels: int) -> bool:
    return (
        isinstance(alternatives, list)
        and len(alternatives) >= _LEAST_ALTERNATIVES
        and all(_is_object(alternative, levels - 1) for alternative in alternatives)
    )


def _is_field(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return _is_object(value, levels - 1)
    return isinstance(value, list) and bool(value) and all(_is_match(match) for match in value)


def _is_match(match: object) -> bool:
    if not isinstance(match, dict):
        return not isinstance(match, list)
    if len(match) != 1:
        return False
    ((operator, operand),) = match.items()
    holds = _OPERATORS.get(operator)
    return holds is not None and holds(operand)


def _is_text(operand: object) -> bool:
    return isinstance(operand, str)


def _is_number(operand: object) -> bool:
    return isinstance(operand, int | float) and not isinstance(operand, bool)


def _is_anything_but(operand: object) -> bool:
    if isinstance(operand, dict):
        return list(operand) == ["prefix"] and _is_text(operand["prefix"])
    values = operand if isinstance(operand, list) else [operand]
    return bool(values) and (all(map(_is_text, values)) or all(map(_is_number, values)))


def _is_numeric(operand: object) -> bool:
    """One comparison, or two that bound a range."""
    return isinstance(operand, list) and len(operand) in (2, 4) and _are_comparisons(operand)


def _are_comparisons(operand: Sequence[Any]) -> bool:
    comparisons, numbers = operand[::2], operand[1::2]
    if not all(map(_is_number, numbers)) or not all(map(_is_text, comparisons)):
        return False
    if len(comparisons) == 1:
        return comparisons[0] in _COMPARISONS
    return comparisons[0] in (">", ">=") and comparisons[1] in ("<", "<=") and numbers[0] < numbers[1]


_OPERATORS: dict[str, Callable[[object], bool]] = {
    "equals-ignore-case": _is_text,
    "prefix": _is_text,
    "suffix": _is_text,
    "anything-but": _is_anything_but,
    "numeric": _is_numeric,
    "exists": lambda operand: isinstance(operand, bool),
}

"""The constraints of the model, with AWS's exact texts.

Each operation's input is compiled once into a function that appends a text for each broken constraint. The texts, the
paths ('vpcConfig.subnetIds', 'tags.1.member.key') and the way that values are printed are those of AWS's own validator:
member names begin with a lower-case letter, lists print as [a, b], maps as {k=v} and structures as Name(member=a), with
null for what is absent, what is sensitive is not printed, length comes before pattern, and elements of a list (keys and
values of a map) are reported together, with all of their constraints, on the list.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lambent.core.errors import ValidationException
from lambent.core.record import Record
from lambent.wire import overrides
from lambent.wire.catalog import Operation, Shape
from lambent.wire.javaregex import Untranslatable, compile_java

Check = Callable[[Any, str, list[str]], None]
"""Appends a text for each constraint that a value, at a path, breaks."""

_NUMBERS = ("byte", "short", "integer", "long", "float", "double")
_NOT_NULL = "Member must not be null"

_FAR_TOO_LONG = 16_384
"""Beyond its maximum, a value is matched against a pattern only up to this length: matching may be slow."""

_KEPT = 512
_KEPT_CHARS = 256


def validate(operation: Operation, params: Mapping[str, Any]) -> None:
    """Raises ValidationException, with every broken constraint, in the order of the model's members."""
    check: Check | None = operation.plans.get(("validate", ""))
    if check is None:
        check = operation.plans["validate", ""] = _Compiler(operation).input()
    broken: list[str] = []
    check(params, "", broken)
    if broken:
        noun = "error" if len(broken) == 1 else "errors"
        raise ValidationException(f"{len(broken)} validation {noun} detected: {'; '.join(broken)}")


class _Rule(Record, frozen=True):
    """One constraint of a scalar, or of a container's length."""

    text: str
    holds: Callable[[Any], bool]


def _length(value: Any) -> int:
    if type(value) is str and not value.isascii():
        return len(value.encode("utf-16-le", "surrogatepass")) // 2
    return len(value)


def _at_most(limit: float) -> Callable[[Any], bool]:
    return lambda value: _length(value) <= limit


def _at_least(limit: float) -> Callable[[Any], bool]:
    return lambda value: _length(value) >= limit


class _Compiler:
    """Compiles the checks of one operation's input."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._structures: dict[str, Check | None] = {}

    def input(self) -> Check:
        shape = self._operation.input
        check = None if shape is None else self.structure(shape)
        return check if check is not None else lambda _value, _path, _broken: None

    def structure(self, shape: Shape) -> Check | None:
        """None where nothing in the structure can be broken."""
        if shape.name in self._structures:
            return self._structures[shape.name]
        structures = self._structures
        structures[shape.name] = lambda value, path, broken: (structures[shape.name] or _nothing)(value, path, broken)
        members = []
        for member in shape.members.values():
            required = member.name in shape.required
            check = self.check(member.shape)
            if required or check is not None:
                members.append((member.name, _lower(member.name), required, check))
        made = structures[shape.name] = _structure_check(tuple(members)) if members else None
        return made

    def check(self, shape: Shape) -> Check | None:
        if shape.type == "structure":
            return None if shape.document or shape.eventstream else self.structure(shape)
        rules = self._rules(shape)
        parts: list[Check] = [_own_rules(shape, rules)] if rules else []
        if shape.type == "list":
            self._elements(shape, parts)
        elif shape.type == "map":
            self._entries(shape, parts)
        if len(parts) <= 1:
            return parts[0] if parts else None

        def check_all(value: Any, path: str, broken: list[str]) -> None:
            for part in parts:
                part(value, path, broken)

        return check_all

    def _elements(self, shape: Shape, parts: list[Check]) -> None:
        element = shape.members["member"].shape
        if element.type in ("structure", "list", "map"):
            inner = self.check(element)
            if inner is not None:
                parts.append(_each_element(inner))
        else:
            parts.append(_together(shape, "Member", self._rules(element), list))

    def _entries(self, shape: Shape, parts: list[Check]) -> None:
        key, value = shape.members["key"].shape, shape.members["value"].shape
        key_rules = self._rules(key)
        if key_rules:
            parts.append(_together(shape, "Map keys", key_rules, list))
        if value.type in ("structure", "list", "map"):
            inner = self.check(value)
            if inner is not None:
                parts.append(_each_value(inner))
        else:
            parts.append(_together(shape, "Map value", self._rules(value), lambda entries: entries.values()))

    def _rules(self, shape: Shape) -> tuple[_Rule, ...]:
        replaced = overrides.constraints(self._operation.service.name, self._operation.name, shape.name)
        maximum = replaced.get("maximum", shape.maximum)
        minimum = replaced.get("minimum", shape.minimum)
        pattern = replaced.get("pattern", shape.pattern)
        enum = replaced.get("enum", shape.enum)
        rules = []
        if shape.type in _NUMBERS:
            rules += _range_rules(shape.type, minimum, maximum)
        elif shape.type in ("string", "list", "map", "blob"):
            if maximum is not None:
                text = f"Member must have length less than or equal to {int(maximum)}"
                rules.append(_Rule(text, _at_most(maximum)))
            if minimum is not None:
                text = f"Member must have length greater than or equal to {int(minimum)}"
                rules.append(_Rule(text, _at_least(minimum)))
        if pattern is not None and shape.type == "string":
            rules += _pattern_rules(pattern, maximum)
        if enum:
            text = f"Member must satisfy enum value set: [{', '.join(enum)}]"
            rules.append(_Rule(text, frozenset(enum).__contains__))
        return tuple(rules)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _nothing(_value: Any, _path: str, _broken: list[str]) -> None:
    return None


def _range_rules(kind: str, minimum: float | None, maximum: float | None) -> list[_Rule]:
    def printed(limit: float) -> str:
        return repr(float(limit)) if kind in ("float", "double") else str(int(limit))

    rules = []
    if maximum is not None:
        text = f"Member must have value less than or equal to {printed(maximum)}"
        rules.append(_Rule(text, lambda value: bool(value <= maximum)))
    if minimum is not None:
        text = f"Member must have value greater than or equal to {printed(minimum)}"
        rules.append(_Rule(text, lambda value: bool(value >= minimum)))
    return rules


def _pattern_rules(pattern: str, maximum: float | None) -> list[_Rule]:
    bound = max(maximum or 0, _FAR_TOO_LONG)
    matches: Callable[[str], object] | None = None

    def holds(value: str) -> bool:
        # Compiled when there is a value to match: an operation has patterns for much that is rarely given.
        nonlocal matches
        if matches is None:
            matches = _matcher(pattern)
        return len(value) > bound or matches(value) is not None

    return [_Rule(f"Member must satisfy regular expression pattern: {pattern}", holds)]


def _matcher(pattern: str) -> Callable[[str], object]:
    """What Python can not express is not held against the caller."""
    try:
        return compile_java(pattern).fullmatch
    except Untranslatable:
        return lambda value: value


def _structure_check(members: tuple[tuple[str, str, bool, Check | None], ...]) -> Check:
    def check_members(value: Any, path: str, broken: list[str]) -> None:
        get = value.get
        for name, printed, required, check in members:
            item = get(name)
            if item is None:
                if required:
                    broken.append(_violation("null", f"{path}.{printed}" if path else printed, _NOT_NULL))
            elif check is not None:
                check(item, f"{path}.{printed}" if path else printed, broken)

    return check_members


def _own_rules(shape: Shape, rules: tuple[_Rule, ...]) -> Check:
    def check_rules(value: Any, path: str, broken: list[str]) -> None:
        broken.extend(_violation(_quoted(value, shape), path, rule.text) for rule in rules if not rule.holds(value))

    if shape.type != "string" or shape.sensitive:
        return check_rules
    kept: set[str] = set()
    """What kept all rules lately: the same few names come again and again."""

    def check_string(value: str, path: str, broken: list[str]) -> None:
        if value in kept:
            return
        before = len(broken)
        check_rules(value, path, broken)
        if len(broken) == before and len(value) <= _KEPT_CHARS:
            if len(kept) >= _KEPT:
                kept.clear()
            kept.add(value)

    return check_string


def _together(shape: Shape, what: str, rules: tuple[_Rule, ...], items: Callable[[Any], Sequence[Any]]) -> Check:
    """One text for all elements of a container, with every constraint of theirs, whichever is broken."""
    texts = ", ".join([*(rule.text for rule in rules), _NOT_NULL])
    holds = tuple(rule.holds for rule in rules)

    def check_items(value: Any, path: str, broken: list[str]) -> None:
        for item in items(value):
            if item is None or not all(holding(item) for holding in holds):
                broken.append(_violation(_quoted(value, shape), path, f"{what} must satisfy constraint: [{texts}]"))
                return

    return check_items


def _each_element(inner: Check) -> Check:
    def check_elements(value: Any, path: str, broken: list[str]) -> None:
        for number, item in enumerate(value, 1):
            where = f"{path}.{number}.member"
            if item is None:
                broken.append(_violation("null", where, _NOT_NULL))
            else:
                inner(item, where, broken)

    return check_elements


def _each_value(inner: Check) -> Check:
    def check_values(value: Any, path: str, broken: list[str]) -> None:
        for key, item in value.items():
            where = f"{path}.{key}.member"
            if item is None:
                broken.append(_violation("null", where, _NOT_NULL))
            else:
                inner(item, where, broken)

    return check_values


def _violation(value: str, path: str, constraint: str) -> str:
    shown = f"Value {value}" if value else "Value"
    return f"{shown} at '{path}' failed to satisfy constraint: {constraint}"


def _quoted(value: Any, shape: Shape) -> str:
    """The value in quotes; nothing for one that is sensitive, or holds what is."""
    if shape.sensitive or any(member.shape.sensitive for member in shape.members.values()):
        return ""
    return f"'{_printed(value, shape)}'"


def _printed(value: Any, shape: Shape) -> str:
    """As Java prints it."""
    if value is None:
        return "null"
    if shape.type == "list":
        element = shape.members["member"].shape
        return f"[{', '.join(_printed(item, element) for item in value)}]"
    if shape.type == "map":
        inner = shape.members["value"].shape
        return "{" + ", ".join(f"{key}={_printed(item, inner)}" for key, item in value.items()) + "}"
    if shape.type == "structure":
        fields = (f"{_lower(name)}={_field(value.get(name), member.shape)}" for name, member in shape.members.items())
        return f"{shape.name}({', '.join(fields)})"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if isinstance(value, datetime):
        return value.strftime("%a %b %d %H:%M:%S UTC %Y")
    return str(value)


def _field(value: Any, shape: Shape) -> str:
    return "***" if shape.sensitive and value is not None else _printed(value, shape)

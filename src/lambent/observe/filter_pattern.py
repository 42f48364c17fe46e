"""CloudWatch Logs filter patterns: from the text of a pattern to a test of an event's text.

Source of the syntax: "Filter pattern syntax" in the CloudWatch Logs user guide. Covered are terms (`ERROR`,
`"a phrase"`, `-exclude`, `?any ?of`) and patterns for JSON events (`{ $.level = "ERROR" && $.latency > 100 }`).
Patterns for space-delimited events (`[ip, user, ...]`) and regular expressions (`%...%`) are refused.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

Matcher = Callable[[str], bool]
JsonMatcher = Callable[[Any], bool]


class InvalidFilterPattern(Exception):
    """The pattern can not be used; the message tells the caller why."""


def compile_pattern(pattern: str) -> Matcher | None:
    """A test of an event's text; None where every event matches. Raises InvalidFilterPattern."""
    text = pattern.strip()
    if not text:
        return None
    if text.startswith("["):
        raise InvalidFilterPattern("Invalid filter pattern: patterns for space-delimited events are not supported")
    if text.startswith("{"):
        if not text.endswith("}"):
            raise InvalidFilterPattern("If a filter pattern starts with '{' it must end with '}'")
        return _json_events(_JsonPattern(text).parse())
    return _terms(text)


_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))')
_PLAIN_TERM = re.compile(r"\w+")


def _terms(text: str) -> Matcher:
    included: list[str] = []
    excluded: list[str] = []
    optional: list[str] = []
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            raise InvalidFilterPattern("Invalid filter pattern: a quotation mark is not closed")
        sign, phrase, term = found.groups()
        if phrase is not None:
            term = _unescape(phrase)
        elif term.startswith("%"):
            raise InvalidFilterPattern("Invalid filter pattern: regular expressions are not supported")
        elif not _PLAIN_TERM.fullmatch(term):
            raise InvalidFilterPattern(f"Invalid filter pattern: Invalid character(s) in term '{term}'")
        {"": included, "-": excluded, "?": optional}[sign].append(term)
        position = found.end()
        while position < len(text) and text[position].isspace():
            position += 1

    if optional and not included and not excluded:
        return lambda event: any(term in event for term in optional)
    # Beside terms that must or must not be there, those with a question mark are without effect.
    return lambda event: all(term in event for term in included) and not any(term in event for term in excluded)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _json_events(matches: JsonMatcher) -> Matcher:
    decode = msgspec.json.Decoder().decode

    def match(event: str) -> bool:
        if not event.lstrip().startswith("{"):
            return False
        try:
            document = decode(event)
        except (msgspec.DecodeError, RecursionError):  # the latter: nested too deeply to be read
            return False
        return matches(document)

    return match


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<mark> && | \|\| | \( | \) | \{ | \} | != | <= | >= | = | < | > )
    | (?P<selector> \$(?: \.[\w\-:@/]+ | \[(?:\d+|\*|"[^"]*"|'[^']*')\] )+ )
    | "(?P<string> (?:[^"\\]|\\.)* )"
    | (?P<number> [-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)? )(?![\w*.])
    | (?P<word> [\w*.:/@\-]+ )
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r"""\.([\w\-:@/]+)|\[(\d+|\*)\]|\["([^"]*)"\]|\['([^']*)'\]""")
_MAX_DEPTH = 50


class _JsonPattern:
    """A recursive descent over the tokens of a `{ ... }` pattern; `&&` binds closer than `||`."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._next = 0
        self._depth = 0
        position = 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                rest = text[position:].strip()
                if rest:
                    raise InvalidFilterPattern(f"Invalid filter pattern: unexpected text at '{rest[:20]}'")
                break
            kind = found.lastgroup
            assert kind is not None
            self._tokens.append((kind, found.group(kind)))
            position = found.end()

    def parse(self) -> JsonMatcher:
        self._expect("{")
        matches = self._any_of()
        self._expect("}")
        if self._next != len(self._tokens):
            raise InvalidFilterPattern("Invalid filter pattern: there is text after the closing brace")
        return matches

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._next] if self._next < len(self._tokens) else ("end", "the end")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._next += 1
        return token

    def _expect(self, mark: str) -> None:
        token = self._take()
        if token != ("mark", mark):
            raise InvalidFilterPattern(f"Invalid filter pattern: expected '{mark}' and found {token[1]}")

    def _any_of(self) -> JsonMatcher:
        choices = [self._all_of()]
        while self._peek() == ("mark", "||"):
            self._take()
            choices.append(self._all_of())
        return choices[0] if len(choices) == 1 else lambda document: any(choice(document) for choice in choices)

    def _all_of(self) -> JsonMatcher:
        parts = [self._operand()]
        while self._peek() == ("mark", "&&"):
            self._take()
            parts.append(self._operand())
        return parts[0] if len(parts) == 1 else lambda document: all(part(document) for part in parts)

    def _operand(self) -> JsonMatcher:
        if self._peek() != ("mark", "("):
            return self._comparison()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise InvalidFilterPattern("Invalid filter pattern: it is nested too deeply")
        self._take()
        inner = self._any_of()
        self._expect(")")
        self._depth -= 1
        return inner

    def _comparison(self) -> JsonMatcher:
        kind, selector = self._take()
        if kind != "selector":
            raise InvalidFilterPattern(f"Invalid filter pattern: expected a property selector and found {selector}")
        steps = [next(part for part in found if part) for found in _STEP.findall(selector)]
        kind, operator = self._take()
        if kind == "word":
            return self._keyword(steps, operator.upper())
        if kind != "mark" or operator not in ("=", "!=", "<", "<=", ">", ">="):
            raise InvalidFilterPattern(f"Invalid filter pattern: expected an operator and found {operator}")
        kind, value = self._take()
        if kind == "number":
            return _on_values(steps, _number_test(operator, float(value)))
        if kind not in ("string", "word") or operator not in ("=", "!="):
            raise InvalidFilterPattern(f"Invalid filter pattern: '{operator}' can not be used with {value}")
        return _on_values(steps, _string_test(operator, _unescape(value) if kind == "string" else value))

    def _keyword(self, steps: list[str], word: str) -> JsonMatcher:
        kind, following = self._take()
        following = following.upper() if kind == "word" else ""
        if (word, following) == ("NOT", "EXISTS"):
            return lambda document: not _values(document, steps)
        if word == "IS" and following in ("TRUE", "FALSE", "NULL"):
            wanted = {"TRUE": True, "FALSE": False, "NULL": None}[following]
            return _on_values(steps, lambda value: value is wanted)
        raise InvalidFilterPattern(f"Invalid filter pattern: unexpected '{word}'")


def _values(document: Any, steps: list[str]) -> list[Any]:
    """What a selector leads to: nothing, one value, or several where it has a `[*]`."""
    found = [document]
    for step in steps:
        reached: list[Any] = []
        for value in found:
            if isinstance(value, dict) and step in value:
                reached.append(value[step])
            elif isinstance(value, list) and step == "*":
                reached.extend(value)
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                reached.append(value[int(step)])
        found = reached
    return found


def _on_values(steps: list[str], test: Callable[[Any], bool]) -> JsonMatcher:
    return lambda document: any(test(value) for value in _values(document, steps))


def _number_test(operator: str, wanted: float) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return operator == "!="
        match operator:
            case "=":
                return value == wanted
            case "!=":
                return value != wanted
            case "<":
                return value < wanted
            case "<=":
                return value <= wanted
            case ">":
                return value > wanted
            case _:
                return value >= wanted

    return test


def _string_test(operator: str, wanted: str) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        equal = isinstance(value, str) and _fits(value, wanted)
        return equal if operator == "=" else not equal

    return test


def _fits(text: str, wildcard: str) -> bool:
    """Whether the text fits a pattern in which `*` stands for any characters; in time linear in the text for each."""
    first, *rest = wildcard.split("*")
    if not rest:
        return text == wildcard
    last = rest.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for piece in rest:
        position = text.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True

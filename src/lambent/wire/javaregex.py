"""The models' regular expressions, which are Java's, as Python's.

What differs and occurs in the models: Unicode categories (`\\p{L}`), brackets and hyphens that Java takes literally
within a class, named groups, which characters end a line. Predefined classes such as `\\d` are ASCII in Java by
default.
"""

import re
import unicodedata
from functools import cache
from itertools import groupby


class Untranslatable(Exception):
    """The expression uses what Python has no form for."""


_LAST_ASSIGNED = 0x323AF
"""Above this there are only variation selectors, tags and private use."""

_SURROGATE_RANGE = r"\uD800\uDC00-\uDBFF\uDFFF"
"""Java's spelling, in UTF-16, of all characters beyond the basic plane."""

_ANY_CHARACTER = r"[^\n\r\x85\u2028\u2029]"
"""What a dot is, with no flag: Java knows more ends of lines than Python."""

_POSIX = {
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Upper": "A-Z",
    "Lower": "a-z",
    "Space": r" \t\n\x0b\f\r",
    "Blank": r" \t",
    "Punct": r"!-/:-@\[-`{-~",
    "Print": r"\x20-\x7e",
    "Graph": r"\x21-\x7e",
    "XDigit": "0-9a-fA-F",
    "ASCII": r"\x00-\x7f",
    "Cntrl": r"\x00-\x1f\x7f",
}


@cache
def compile_java(pattern: str) -> re.Pattern[str]:
    """Raises Untranslatable."""
    try:
        return re.compile(_translate(pattern), re.ASCII)
    except (re.error, OverflowError) as error:
        raise Untranslatable(pattern) from error


def _translate(pattern: str) -> str:
    pattern = pattern.replace(_SURROGATE_RANGE, r"\U00010000-\U0010ffff")
    out: list[str] = []
    at, within, size = 0, False, len(pattern)
    while at < size:
        char = pattern[at]
        if char == "\\":
            text, at = _escape(pattern, at, within)
            out.append(text)
            # Java takes a hyphen after a predefined class literally; Python sees a range.
            if within and len(text) > 1 and text[1] in "dwsDWSp" and pattern[at : at + 1] == "-":
                out.append("\\-")
                at += 1
            continue
        if within:
            if char == "]":
                within = False
            elif char == "[":
                char = "\\["
            elif char in "&|~-" and pattern[at : at + 2] == char * 2:
                if char == "&":
                    raise Untranslatable(pattern)
                char = f"\\{char}"
        elif char == ".":
            char = _ANY_CHARACTER
        elif char == "[":
            within = True
            if pattern[at + 1 : at + 2] == "^":
                char, at = "[^", at + 1
        elif pattern.startswith("(?<", at) and pattern[at + 3 : at + 4] not in ("=", "!"):
            char, at = "(?P<", at + 2
        out.append(char)
        at += 1
    return "".join(out)


def _escape(pattern: str, at: int, within: bool) -> tuple[str, int]:
    """The translation of the escape at `at`, and where it ends."""
    char = pattern[at + 1 : at + 2]
    if char in ("p", "P"):
        found = re.match(r"\\[pP](?:\{(?:Is)?(\w+)\}|([A-Z]))", pattern[at:])
        if found is None:
            raise Untranslatable(pattern)
        ranges = _category(found[1] or found[2])
        end = at + found.end()
        if char == "P":
            if within:
                raise Untranslatable(pattern)
            return f"[^{ranges}]", end
        return (ranges if within else f"[{ranges}]"), end
    if char == "h":
        return (r" \t\xa0" if within else r"[ \t\xa0]"), at + 2
    if char == "x" and pattern[at + 2 : at + 3] == "{":
        end = pattern.index("}", at)
        return f"\\U{int(pattern[at + 3 : end], 16):08x}", end + 1
    if char.isalpha() and char not in "dDwWsSbBnrtfvxuUAZ":
        if char == "z":
            return "\\Z", at + 2
        if char not in "ae":
            raise Untranslatable(pattern)
    return pattern[at : at + 2], at + 2


@cache
def _category(name: str) -> str:
    """The ranges of a Unicode category, or a POSIX class, as they stand within brackets."""
    posix = _POSIX.get(name)
    if posix is not None:
        return posix
    runs = [run for category, found in _runs().items() if category.startswith(name) for run in found]
    if not runs:
        raise Untranslatable(name)
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in sorted(runs))


@cache
def _runs() -> dict[str, list[tuple[int, int]]]:
    """The runs of characters of each category, all found in one pass."""
    runs: dict[str, list[tuple[int, int]]] = {}
    first = 0
    for category, members in groupby(map(unicodedata.category, map(chr, range(_LAST_ASSIGNED + 1)))):
        size = sum(1 for _ in members)
        runs.setdefault(category, []).append((first, first + size - 1))
        first += size
    return runs

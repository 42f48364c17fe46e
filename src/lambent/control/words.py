"""Text of a caller that a program is started with."""

from collections.abc import Iterable

from lambent.core.errors import InvalidParameterValueException


def check_words(what: str, words: Iterable[str]) -> None:
    """Refuse what no program can be given in its environment: a NUL character, or half of a surrogate pair."""
    for word in words:
        try:
            encoded = word.encode()
        except UnicodeEncodeError:
            encoded = b"\0"
        if b"\0" in encoded:
            raise InvalidParameterValueException(f"{what} must not contain characters that are not valid in text.")

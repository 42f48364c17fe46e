"""What the simulation says of that which does not hold: its messages as its source has them, with `{}` for a value."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import lambent.testing.simulation

SOURCES = Path(lambent.testing.simulation.__file__).parent


def is_the_message(message: str, told: str) -> bool:
    """This one, all of it, and none that has it in it."""
    return re.fullmatch(".*".join(map(re.escape, message.split("{}"))), told) is not None


def messages() -> set[str]:
    return {message for path in SOURCES.glob("*.py") for message in _messages_of(ast.parse(path.read_text()))}


def _messages_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("hold"), [_, text]) | ast.Call(ast.Name("Violation"), [text]):
                if not isinstance(text, ast.Name):  # the one that `hold` was handed
                    yield _template(text)
            case ast.Assert(_, ast.expr() as text) | ast.Call(ast.Name("AssertionError"), [text]):
                yield f"the dispatcher has failed: AssertionError('{_template(text)}') ({{}})"


def _template(text: ast.expr) -> str:
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)

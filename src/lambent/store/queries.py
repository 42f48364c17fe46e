"""Named SQL: the statements of a module live in `queries/<module>.sql`, each under a line `-- name: ...`."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(module: str) -> Mapping[str, str]:
    """The statements of `queries/<module>.sql` by name."""
    text = (Path(__file__).parent / "queries" / f"{module}.sql").read_text()
    _, *parts = _NAME.split(text)
    statements = dict(zip(parts[::2], (body.strip() for body in parts[1::2]), strict=True))
    assert len(statements) == len(parts) // 2, f"a name is used twice in {module}.sql"
    return MappingProxyType(statements)

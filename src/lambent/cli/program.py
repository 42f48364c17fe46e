"""What a path holds: the runtime and the handler of the function in it, found by looking at its source.

Python is read by its syntax tree, JavaScript by the ways in which a module exports a name; nothing of it is run.
"""

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambent.cli.outcome import CommandError, ExitCode

PYTHON_FILES = ("lambda_function.py", "handler.py", "main.py", "app.py")
NODE_FILES = ("index.mjs", "index.js", "index.cjs")
NODE_SUFFIXES = (".mjs", ".js", ".cjs")
BOOTSTRAP = "bootstrap"
HANDLER_NAMES = ("lambda_handler", "handler")

NODE_RUNTIME = "nodejs22.x"
CUSTOM_RUNTIME = "provided.al2023"
# The name that a custom runtime is told when none was given; `bootstrap` itself may look at it or not.
CUSTOM_HANDLER = "function.handler"


@dataclass(frozen=True, slots=True)
class Program:
    """A function found at a path.

    `source` is the folder that becomes the package, or the one file. `archive` is set for a zip that is ready.
    """

    source: Path
    runtime: str
    handler: str
    archive: bool = False

    @property
    def name(self) -> str:
        """The function's name where none was given: that of the folder or file, in the letters that AWS allows."""
        stem = self.source.stem if self.source.is_file() else self.source.name
        return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:64]


def find(path: Path, runtime: str | None = None, handler: str | None = None) -> Program:
    """The function at a path; a runtime or handler that was given is believed. Raises CommandError."""
    source = path.resolve()
    if not source.exists():
        raise CommandError(f"there is no {path}", exit_code=ExitCode.USAGE)
    if not (source.is_file() or source.is_dir()):
        raise CommandError(f"{path} is neither a file nor a folder", exit_code=ExitCode.USAGE)
    if source.is_file() and source.suffix == ".zip":
        if runtime is None or (handler is None and not runtime.startswith("provided")):
            raise CommandError(
                f"{path} is packaged already: nothing is looked for in it",
                exit_code=ExitCode.USAGE,
                hint="Name its --runtime and --handler.",
            )
        return Program(source, runtime, handler or CUSTOM_HANDLER, archive=True)
    if runtime is not None and handler is not None:
        return Program(source, runtime, handler)
    looked_at: list[str] = []
    for file in _candidates(source, runtime):
        found = _look_into(file, handler)
        if found is not None:
            kind, found_handler = found
            folder = source if source.is_dir() else source.parent
            return Program(source, runtime or _version(kind, folder), handler or found_handler)
        looked_at.append(file.name)
    raise CommandError(
        f"no handler was found in {path}" + (f" (looked into {', '.join(looked_at)})" if looked_at else ""),
        exit_code=ExitCode.USAGE,
        hint=f"Looked for: a function {' or '.join(HANDLER_NAMES)} in {', '.join(PYTHON_FILES)} or another .py file, "
        f"an exported `handler` in {', '.join(NODE_FILES)}, an executable `{BOOTSTRAP}`. "
        "Else name --runtime and --handler.",
    )


def _candidates(source: Path, runtime: str | None) -> Iterator[Path]:
    """The files that may hold the handler: those with a customary name first, then the others at the top."""
    if source.is_file():
        yield source
        return
    customary = [source / name for name in (*PYTHON_FILES, *NODE_FILES, BOOTSTRAP)]
    main = package_json(source).get("main")
    if isinstance(main, str) and main.endswith(NODE_SUFFIXES):
        customary.append(source / main)
    others = sorted(file for file in source.iterdir() if file.suffix in (".py", *NODE_SUFFIXES))
    for file in dict.fromkeys([*customary, *others]):
        if file.is_file() and (runtime is None or runtime.startswith(_kind(file))):
            yield file


def _kind(file: Path) -> str:
    """The family of runtimes that a file is for."""
    if file.suffix == ".py":
        return "python"
    return "nodejs" if file.suffix in NODE_SUFFIXES else "provided"


def _look_into(file: Path, handler: str | None) -> tuple[str, str] | None:
    """The runtime family and handler of a file, or None when it has no handler."""
    kind = _kind(file)
    if kind == "provided":
        return (kind, CUSTOM_HANDLER) if os.access(file, os.X_OK) else None
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    if handler is not None:
        return (kind, handler) if handler.startswith(f"{file.stem}.") else None
    names = python_names(text, file.name) if kind == "python" else exported_names(text)
    name = next((name for name in HANDLER_NAMES if name in names), None)
    return (kind, f"{file.stem}.{name}") if name else None


def python_names(text: str, file_name: str) -> set[str]:
    """The names that a Python module has at its top level. Raises CommandError for a syntax error."""
    try:
        tree = ast.parse(text, file_name)
    except SyntaxError as error:
        place = file_name if error.lineno is None else f"{file_name}, line {error.lineno}"
        raise CommandError(f"{place}: {error.msg}", exit_code=ExitCode.USAGE) from error
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL, or what is nested without end
        raise CommandError(f"{file_name}: {error}", exit_code=ExitCode.USAGE) from error
    return set(_defined(tree))


def _defined(node: ast.AST) -> Iterator[str]:
    """The names that a statement defines in the scope that it is in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif isinstance(child, ast.alias):
            yield child.asname or child.name
        else:
            yield from _defined(child)


_COMMENT = re.compile(r"/\*.*?\*/|^\s*//.*?$", re.DOTALL | re.MULTILINE)
_DECLARED = re.compile(r"\bexport\s+(?:const|let|var|(?:async\s+)?function\s*\*?)\s+(\w+)")
_ASSIGNED = re.compile(r"\b(?:module\.)?exports\.(\w+)\s*=")
_LISTED = re.compile(r"(?:\bexport|\bmodule\.exports\s*=)\s*\{([^}]*)\}")
_LISTED_NAME = re.compile(r"(?:\w+\s+as\s+)?(\w+)\s*(?=[,:(]|$)")


def exported_names(text: str) -> set[str]:
    """The names that a JavaScript module exports, as ES module or CommonJS."""
    text = _COMMENT.sub("", text)
    names = {*_DECLARED.findall(text), *_ASSIGNED.findall(text)}
    for listed in _LISTED.findall(text):
        names.update(match for part in listed.split(",") for match in _LISTED_NAME.findall(part.strip())[:1])
    return names


def _version(kind: str, folder: Path) -> str:
    """The runtime of a family: what the project says that it wants, else the version that is at hand here."""
    if kind == "provided":
        return CUSTOM_RUNTIME
    if kind == "nodejs":
        engines = package_json(folder).get("engines")
        wanted = re.match(r"[\^~=v ]*(\d+)", str(engines.get("node", ""))) if isinstance(engines, dict) else None
        return f"nodejs{wanted[1]}.x" if wanted else NODE_RUNTIME
    pinned = folder / ".python-version"
    pin = re.match(rb"\s*(3\.\d+)", pinned.read_bytes()) if pinned.is_file() else None
    return f"python{pin[1].decode()}" if pin else f"python{sys.version_info[0]}.{sys.version_info[1]}"


def package_json(folder: Path) -> dict[str, object]:
    """The folder's package.json; empty when it has none. Raises CommandError when it can not be read."""
    file = folder / "package.json"
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise CommandError(f"{file} is not JSON: {error}", exit_code=ExitCode.USAGE) from error
    return content if isinstance(content, dict) else {}

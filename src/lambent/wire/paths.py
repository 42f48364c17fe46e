"""Matching a request's path to the operations of a REST service.

A table is a tree over the path's segments, so a match costs one dictionary look-up a segment. Matching is on the raw
path, segment by segment, and labels are percent-decoded afterwards: an encoded slash belongs to its label. A literal
wins over a label, a label over a greedy one (`{Key+}`, which takes the rest and may have literals after it). A slash
at the end is ignored, except in a greedy label. Of operations that differ in query literals (`?find=LayerVersion`) the
one wins that asks for most of those which are there.

Some clients leave the slashes of an ARN unencoded. Where nothing matches else, a label that begins with `arn:` may
take several segments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

Match = tuple[str, Mapping[str, str]]


@dataclass(slots=True)
class _Leaf:
    names: tuple[str, ...]
    operation: str
    literals: tuple[tuple[str, str | None], ...]


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    label: "_Node | None" = None
    greedy: "_Node | None" = None
    leaves: list[_Leaf] = field(default_factory=list)


class PathTable:
    """The paths of one service: `add` them all, then `match`."""

    def __init__(self, uris: Iterable[tuple[str, str, str]]) -> None:
        """From `(method, request URI, operation)`, as a model has them."""
        self._roots: dict[str, _Node] = {}
        for method, uri, operation in uris:
            self._add(method, uri, operation)

    def _add(self, method: str, uri: str, operation: str) -> None:
        path, _, query = uri.partition("?")
        node = self._roots.setdefault(method, _Node())
        names = []
        for segment in _segments(path):
            if segment.startswith("{") and segment.endswith("+}"):
                names.append(segment[1:-2])
                node.greedy = node = node.greedy or _Node()
            elif segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                node.label = node = node.label or _Node()
            else:
                node = node.literals.setdefault(segment, _Node())
        literals = tuple((name, value if mark else None) for name, mark, value in _literal_parts(query))
        node.leaves.append(_Leaf(tuple(names), operation, literals))
        node.leaves.sort(key=lambda leaf: -len(leaf.literals))

    def match(self, method: str, path: str, query: str) -> Match | None:
        """The operation and its decoded labels, or None. Raises UnicodeDecodeError for labels that are not UTF-8."""
        root = self._roots.get(method)
        if root is None:
            return None
        raw = path.split("/")
        segments = raw[1:-1] if raw[-1] == "" else raw[1:]
        # A greedy label keeps the slash at the end, which the segments have lost.
        found = _walk(root, segments, 0, query, raw[-1] == "" and len(segments) > 0, False)
        if found is None and "/arn" in path:
            found = _walk(root, segments, 0, query, False, True)
        if found is None:
            return None
        leaf, values = found
        values.reverse()
        return leaf.operation, {
            name: unquote(value, errors="strict") if "%" in value else value
            for name, value in zip(leaf.names, values, strict=True)
        }


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _literal_parts(query: str) -> Iterable[tuple[str, str, str]]:
    return (part.partition("=") for part in query.split("&") if part)


def _walk(
    node: _Node, segments: list[str], at: int, query: str, slash: bool, spanning: bool
) -> tuple[_Leaf, list[str]] | None:
    """The leaf below `node` for the segments from `at` on, with the labels' raw values, last first."""
    if at == len(segments):
        leaf = _choose(node.leaves, query)
        return None if leaf is None else (leaf, [])
    segment = segments[at]
    child = node.literals.get(segment)
    if child is not None:
        found = _walk(child, segments, at + 1, query, slash, spanning)
        if found is not None:
            return found
    if node.label is not None and segment:
        found = _walk(node.label, segments, at + 1, query, slash, spanning)
        if found is not None:
            found[1].append(segment)
            return found
        if spanning and unquote(segment).startswith("arn:"):
            # The shortest: what follows the ARN may be a literal of the path.
            return _span(node.label, segments, at, range(at + 2, len(segments) + 1), query, spanning)
    if node.greedy is not None:
        if node.greedy.leaves:
            leaf = _choose(node.greedy.leaves, query)
            if leaf is not None:
                return leaf, ["/".join(segments[at:]) + ("/" if slash else "")]
        return _span(node.greedy, segments, at, range(len(segments), at, -1), query, spanning)
    return None


def _span(
    node: _Node, segments: list[str], at: int, ends: Iterable[int], query: str, spanning: bool
) -> tuple[_Leaf, list[str]] | None:
    """A label that takes the segments from `at` up to the first of the ends at which the rest matches."""
    for end in ends:
        found = _walk(node, segments, end, query, False, spanning)
        if found is not None:
            found[1].append("/".join(segments[at:end]))
            return found
    return None


def _choose(leaves: list[_Leaf], query: str) -> _Leaf | None:
    for leaf in leaves:
        if not leaf.literals:
            return leaf
        given: dict[str, str | None] = {}
        for name, mark, value in _literal_parts(query):
            given[unquote_plus(name)] = unquote_plus(value) if mark else None
        if all(name in given and (value is None or given[name] == value) for name, value in leaf.literals):
            return leaf
    return None
